"""
E-mail addresses, card numbers, tokens and API keys in text, found in time linear in the text.

`re` keeps the GIL and goes back over what it has read, so each pattern here starts at most once
within a run of its characters (a lookbehind sees to that), and what it repeats cannot match the
character that ends the repetition. A long text is searched piece by piece.
"""

from __future__ import annotations

import re

_PIECE = 32 * 1024
"""Characters that are searched at once, about."""
_BREAK = re.compile(r"[\r\n,}]|(?<=[^\W\d_])\s(?!\s)")
"""Where a text can be parted: no pattern goes across, but for the blank after some words."""
_INTRODUCTIONS = ("bearer", "basic", "api", "access", "secret", "subscription", "key", "token")

_LETTER = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff"
_EMAIL = re.compile(
    rf"(?<![{_LETTER}0-9._+'-])[{_LETTER}0-9._+'-]+(?:@|%40)"
    rf"(?:[{_LETTER}0-9-]+\.)+[{_LETTER}]{{2,}}"
)
_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ \u00a0-]?[0-9]){12,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s{1,8})([A-Za-z0-9._~+/=-]{8,})")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?", re.ASCII)
_API_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:AKIA|ASIA|AIza|SG\.|dop_v1_|gh[opsur]_|github_pat_|glpat-|gsk_|hf_|lsv2_"
    r"|npm_|opk[_-]|pplx-|pypi-|r8_|[prs]k[-_]|tvly-|whsec_|xai-|xox[abeoprs]-|ya29\.)"
    r"[A-Za-z0-9_-]{8,}"
)
_NAMED_KEY = re.compile(
    r"(?i)((?:api|access|secret|subscription)[_ -]?(?:key|token)[\"']?\s{0,4}[:=]\s{0,4}[\"']?)"
    r"([A-Za-z0-9_./+=~-]{8,})"
)
_OWN_ISSUER = re.compile("[3-6]|2[2-7]")
"""How the numbers of cards begin (ISO/IEC 7812): 3 to 6, or 22 to 27."""


def mask_text(text: str) -> str:
    """Replace e-mail addresses, card numbers, bearer tokens and API keys by what they were."""
    if len(text) <= 2 * _PIECE:
        return _mask_piece(text)
    pieces: list[str] = []
    start = 0
    while start < len(text):
        found = _BREAK.search(text, min(start + _PIECE, len(text)))
        end = found.end() if found else len(text)
        while found and text[max(0, end - 16) : end].rstrip().lower().endswith(_INTRODUCTIONS):
            found = _BREAK.search(text, end)
            end = found.end() if found else len(text)
        pieces.append(_mask_piece(text[start:end]))
        start = end
    return "".join(pieces)


def _mask_piece(text: str) -> str:
    text = _BEARER.sub(_mask_bearer, text)
    text = _JWT.sub("[token]", text)
    text = _NAMED_KEY.sub(_mask_named_key, text)
    text = _API_KEY.sub(_mask_api_key, text)
    text = _DIGITS.sub(_mask_cards, text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub("[email]", text)
    return text


def _is_random(text: str) -> bool:
    """Whether it looks like a key, not like words: with a digit, or long and in one piece."""
    return any("0" <= char <= "9" for char in text) or max(map(len, re.split("[-_./]", text))) >= 16  # noqa: PLR2004


def _mask_bearer(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}[token]" if _is_random(match[3]) else match[0]


def _mask_named_key(match: re.Match[str]) -> str:
    return f"{match[1]}[api key]" if _is_random(match[2]) else match[0]


def _mask_api_key(match: re.Match[str]) -> str:
    return "[api key]" if _is_random(match[0]) else match[0]


def _mask_cards(match: re.Match[str]) -> str:
    """Mask the cards in a run of digits and single separators; dates or codes may stand beside."""
    groups = re.split("([ \u00a0-])", match[0])
    masked: list[str] = []
    at = 0
    while at < len(groups):
        end = _end_of_card(groups, at)
        masked.append("[card]" if end else groups[at])
        at = end or at + 1
    return "".join(masked)


def _end_of_card(groups: list[str], start: int) -> int:
    """Return the index after the card number that starts with this group of digits, or 0."""
    digits, longest = "", 0
    if start % 2 or len(groups[start]) < 4:  # noqa: PLR2004 - no card's number begins so
        return 0
    for at in range(start, len(groups), 2):
        if len(digits) + len(groups[at]) > 19:  # noqa: PLR2004 - ISO/IEC 7812
            break
        digits += groups[at]
        if _is_card(digits):
            longest = at + 1
    return longest


def _is_card(digits: str) -> bool:
    if not 12 <= len(digits) <= 19 or not _OWN_ISSUER.match(digits):  # noqa: PLR2004 - ISO/IEC 7812
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):  # Luhn's check
        number = int(digit) << (place & 1)
        total += number - 9 if number > 9 else number  # noqa: PLR2004
    return total % 10 == 0
