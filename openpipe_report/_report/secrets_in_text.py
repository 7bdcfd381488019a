r"""
E-mail addresses, card numbers, tokens and API keys in text, found in time linear in the text.

`re` keeps the GIL and goes back over what it has read, so each pattern here starts only a few
times within a run of its characters, and what it repeats cannot match the character that ends the
repetition. A long text is searched in windows.

The text may be the inside of a JSON string, or percent-encoded: an escape (`\n`, `%20`) stands
between two words, and is kept whole where the second one is masked.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Edit = tuple[int, int, str]
    Find = Callable[[re.Match[str]], Edit | None]

_WINDOW = 64 * 1024
"""Characters that are searched at once: for one or two milliseconds."""
_MARGIN = 16 * 1024
"""Characters that are searched after a window, for matches that begin in it."""
_CONTEXT = 32
"""Characters before a match that are compared to tell its kind."""

_ESCAPED_LETTER = re.compile(
    r"\\{1,32}u(?!0022|005[cC]|007[fF])(00[2-7a-fA-F][0-9a-fA-F]|0[1-4][0-9a-fA-F]{2})"
)


def _edge(after: str) -> str:
    """Make a pattern that matches after an edge of a word or after an escape."""
    return (
        rf"(?:(?<![A-Za-z0-9_-]{after})|(?<=\\[bfnrt]{after})|(?<=\\u[0-9A-Fa-f]{{4}}{after})"
        rf"|(?<=%[0-9A-Fa-f]{{2}}{after})|(?<=%25[0-9A-Fa-f]{{2}}{after}))"
    )


_EDGE = re.compile(_edge(""))
_REST_OF_ESCAPE = re.compile(r"(?<=\\)(?:[bfnrt]|u[0-9A-Fa-f]{4})|(?<=%)(?:25)?[0-9A-Fa-f]{2}")
_GAP = r"(?:\s|\\{1,16}[nrt]|%20)"
_QUOTE = r"(?:\\{0,16}[\"'])"
_ASSIGNED = rf"({_QUOTE}?){_GAP}{{0,8}}(?:[:=]|%3[ADad])[=>]?{_GAP}{{0,8}}({_QUOTE}?)"
_OPAQUE = r"[A-Za-z0-9_./+=~-]{8,}"

_LETTER = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff"
_EMAIL = re.compile(rf"(?:@|%40)(?:[{_LETTER}0-9-]+\.)+[{_LETTER}]{{2,}}")
_USER_CHARACTERS = "".join(
    filter(re.compile(rf"[{_LETTER}0-9._+'-]").match, map(chr, range(0x500)))
)
_LONGEST_USER = 128
_CARD = re.compile(
    # The match is the first group of digits alone: another card may begin at the second.
    r"[2-6](?:(?<![0-9].)(?<![0-9]\..)(?<!\\u.)|(?<=\\u[0-9A-Fa-f]{4}.)|(?<=%[0-9A-Fa-f]{2}.))"
    r"(?=([0-9]{3}(?:(?:[ \u00a0-]|%20)?[0-9]){8,15})(?![0-9]))[0-9]+"
)
_CARD_SEPARATOR = re.compile("([ \u00a0-]|%20)")
# Patterns begin with a character or a set of them, so that others are passed over quickly.
_CREDENTIALS = re.compile(rf"([BbTtAa](?i:earer|asic|oken|pikey))({_GAP}{{1,8}})({_OPAQUE})")
_AUTHORIZATION = re.compile(rf"(?i)authorization{_ASSIGNED}\Z")
_JWT = re.compile(
    rf"eyJ{_edge('eyJ')}[A-Za-z0-9_-]{{6,}}\.[A-Za-z0-9_-]{{6,}}(?:\.[A-Za-z0-9_-]*)?"
)
_API_KEY = re.compile(
    r"(?:AKIA|ASIA|AIza|SG\.|dop_v1_|gh[opsur]_|github_pat_|glpat-|gsk_|hf_|lsv2_"
    r"|npm_|opk[_-]|pplx-|pypi-|r8_|[prs]k[-_]|tvly-|whsec_|xai-|xox[abeoprs]-|ya29\.)"
    r"[A-Za-z0-9_-]{8,}"
)
_KEY_NAME = "[AaSs](?i:pi|ccess|ecret|ubscription)[_ -]?(?i:key|token)"
_NAMED_KEY = re.compile(rf"{_KEY_NAME}{_ASSIGNED}({_OPAQUE})")
_ENDS_WITH_KEY_NAME = re.compile(rf"{_KEY_NAME}\s?\Z")
_OPAQUE_AT = re.compile(_OPAQUE)
_OWN_ISSUER = re.compile("[3-6]|2[2-7]")
"""How the numbers of cards begin (ISO/IEC 7812): 3 to 6, or 22 to 27."""
_JSON_MEMBER = re.compile(r"(\\{0,16}\")\s{0,4}:\s{0,4}\Z")
_DOUBLED = bytes(2 * digit - 9 * (digit > 4) for digit in range(10)).ljust(256, b"\0")  # noqa: PLR2004
"""The value that Luhn's check adds for a digit in every second place."""
_DIGITS = bytes(range(10))
_FROM_ASCII = bytes(48) + _DIGITS + bytes(198)


def mask_secrets(text: str) -> str:
    """Replace e-mail addresses, card numbers, bearer tokens and API keys with their kind."""
    read = text
    if "\\u" in text:
        read = _ESCAPED_LETTER.sub(lambda match: chr(int(match[1], 16)), text)
    masked = _replace(_CREDENTIALS, _find_credentials, read)
    masked = _replace(_JWT, lambda match: _edit(match, "[token]"), masked)
    masked = _replace(_NAMED_KEY, _find_named_key, masked)
    masked = _replace(_API_KEY, _find_api_key, masked)
    masked = _replace(_CARD, _find_card, masked)
    if "@" in masked or "%40" in masked:
        masked = _replace(_EMAIL, _find_email, masked)
    return text if masked == read else masked


def mask_named_value(name: str, value: str) -> str:
    """Mask a value whose name (`x-api-key`, `Authorization`) says that it is a secret."""
    begin = 0
    if name[-16:].casefold().endswith("authorization"):
        found = _CREDENTIALS.match(value)
        if found is None:
            return value
        begin, mask = found.start(3), "[token]"
    elif _ENDS_WITH_KEY_NAME.search(name[-_CONTEXT:]):
        mask = "[api key]"
    else:
        return value
    secret = _OPAQUE_AT.match(value, begin)
    if secret is None or not (begin or _is_random(secret[0])):
        return value
    return value[:begin] + mask + value[secret.end() :]


def _replace(pattern: re.Pattern[str], find: Find, text: str) -> str:
    """Apply the edits that `find` returns for matches of a pattern, window by window."""
    parts: list[str] = []
    done = at = 0
    while at < len(text):
        window = at + _WINDOW
        match = pattern.search(text, at, window + _MARGIN)
        if match is None or match.start() >= window:
            at = window
            continue
        if match.end() == window + _MARGIN:
            match = pattern.match(text, match.start()) or match
        edit = find(match)
        at = match.end()
        if edit is not None:
            begin, at, mask = edit
            parts += (text[done : max(done, begin)], mask)
            done = at
    return "".join([*parts, text[done:]]) if parts else text


def _edit(match: re.Match[str], mask: str, begin: int | None = None) -> Edit:
    """Return the edit that masks a match, without the rest of an escape at its beginning."""
    begin = match.start() if begin is None else begin
    escape = _REST_OF_ESCAPE.match(match.string, begin)
    return min(escape.end() if escape else begin, match.end()), match.end(), mask


def _before(text: str, at: int) -> str:
    return text[max(0, at - _CONTEXT) : at]


def _is_random(text: str) -> bool:
    """Return whether a text looks like a key, not like words: it has a digit or a long part."""
    return any("0" <= char <= "9" for char in text) or max(map(len, re.split("[-_./]", text))) >= 16  # noqa: PLR2004


def _find_email(match: re.Match[str]) -> Edit | None:
    begin = max(0, match.start() - _LONGEST_USER)
    before = match.string[begin : match.start()]
    user = len(before) - len(before.rstrip(_USER_CHARACTERS))
    return _edit(match, "[email]", match.start() - user) if user else None


def _find_credentials(match: re.Match[str]) -> Edit | None:
    if not _EDGE.match(match.string, match.start()):
        return None
    scheme = match[1].lower()
    is_header = bool(_AUTHORIZATION.search(_before(match.string, match.start())))
    is_named = scheme in {"bearer", "basic"} and _is_random(match[3])
    if is_header or is_named or (scheme == "basic" and _is_user_and_password(match[3])):
        return match.start(3), match.end(), "[token]"
    return None


def _is_user_and_password(text: str) -> bool:
    """Return whether a text is base64 of a name, a colon and a password (RFC 7617)."""
    base64 = re.split("[^A-Za-z0-9+/]", text[:1024], maxsplit=1)[0]
    return b":" in b64decode(base64[: len(base64) // 4 * 4])


def _find_named_key(match: re.Match[str]) -> Edit | None:
    if not _is_random(match[3]):
        return None
    # A bare number in JSON becomes a string.
    quote = match[1] if match[1] and not match[2] and match[3].isdigit() else ""
    return match.start(3), match.end(), f"{quote}[api key]{quote}"


def _find_api_key(match: re.Match[str]) -> Edit | None:
    if not (_EDGE.match(match.string, match.start()) and _is_random(match[0])):
        return None
    return _edit(match, "[api key]")


def _find_card(match: re.Match[str]) -> Edit | None:
    """Find the longest card number at a group of digits; a date or code may follow it."""
    groups = _CARD_SEPARATOR.split(match[0][0] + match[1])
    while len(digits := "".join(groups[::2])) >= 12:  # noqa: PLR2004 - ISO/IEC 7812
        if _is_card(digits):
            member = _JSON_MEMBER.search(_before(match.string, match.start()))
            quote = member[1] if member else ""
            return match.start(), match.start() + len("".join(groups)), f"{quote}[card]{quote}"
        del groups[-2:]
    escape = _REST_OF_ESCAPE.match(match.string, match.start())
    inner = _CARD.match(match.string, escape.end()) if escape else None
    return _find_card(inner) if inner else None


def _is_card(digits: str) -> bool:
    if not _OWN_ISSUER.match(digits):
        return False
    values = digits.encode().translate(_FROM_ASCII)
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0
