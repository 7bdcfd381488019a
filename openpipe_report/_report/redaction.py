"""
Ready-made `before_report` hooks. The report that a hook returns is sent in place of its argument.

    Reporter(before_report=chain(elide_media, mask_values, mask_keys("email", "ssn")))

Hooks make new payloads and never change those of their argument. Several threads may call a hook at
once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from openpipe_report._report.text_masking import mask_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._report.model import Report

    Hook = Callable[[Report], Report | None]

MASK = "[masked]"

_BASE64_FOLLOWS = re.compile(r";\s{0,8}base64,\s*", re.IGNORECASE)
_BASE64_TEXT = re.compile(
    # White space is part of it only where another line of base64 follows.
    r"[a-z0-9+/_=%-]*(?:\s{1,2}[a-z0-9+/_=%-]{24,})*(?:\s{1,2}[a-z0-9+/_-]{1,22}={1,2})?",
    re.IGNORECASE,
)
_QUOTED = re.compile('"[^"]*"')
_LONGEST_HEADER = 1024
"""Most characters that are searched for `data:` before `;base64,`."""
_BASE64_LINE = re.compile("[A-Za-z0-9+/_-]+={0,2}")
_SHORTEST_LINE = 40
_SHORTEST = 64
_Place = Literal["answer", "usage", "counts", "elsewhere"]
"""
Where a value is: at the top of the answer, in its usage, in a member of the usage whose key a
pattern found, or in any other place.
"""
_TOKEN = re.compile("(?i)tokens?")
_TOKEN_COUNT = re.compile("(?i)tokens|token_?(?:count|limit|usage|budget)")
_USAGE_KEYS = frozenset({"usage", "usageMetadata"})
_MEDIA_KEYS = frozenset(
    {"b64_json", "base64", "data", "file_data", "partial_image_b64", "result", "audio"}
)


def elide_media(report: Report) -> Report:
    """
    Replace base64 images, audio and files with their kind and size: `<image/png, 3072 bytes>`.

    Data URLs are found in any string of the payloads. Bare base64 of 64 characters or more is found
    under the keys that OpenAI's API uses for it: `b64_json`, `data`, `file_data`,
    `partial_image_b64`, `result`, `audio`; and under the `base64` of a binary answer.
    """
    return _with_payloads(report, _without_media)


def mask_values(report: Report) -> Report:
    """
    Mask e-mail addresses, card numbers, bearer tokens and API keys in any text of the report.

    They are replaced with `[email]`, `[card]`, `[token]` and `[api key]` in the strings of the
    payloads, in tags and in the error message. Keys of objects are not changed. JSON inside of a
    string remains valid JSON; a masked number in it becomes a string. A card number is recognised
    by its check digit, a key by its vendor's prefix (`sk-`, `ghp_`, `AKIA`) or by an `api_key=`
    before it. The time is linear in the length of the text.
    """
    masked = _with_payloads(report, _masked_text)
    update: dict[str, Any] = {}
    if report.tags:
        update["tags"] = _masked_text(report.tags)
    if report.errorMessage:
        update["errorMessage"] = mask_text(report.errorMessage)
    return masked.model_copy(update=update) if update else masked


def mask_keys(*names: str, pattern: str | None = None) -> Hook:
    """
    Make a hook that replaces the values of certain keys with `[masked]`, at any depth.

    The keys of the payloads, including the labels in `reqPayload.metadata`, and of the tags are
    compared. JSON inside of a string (a tool call's `arguments`) is not searched.

    Numbers of tokens are no secrets. A pattern that finds a key by its `token` alone leaves a
    number there if the key is one of counts: `max_tokens`, `promptTokenCount`. In the `usage` of
    an answer it leaves the numbers of nested counts as well (`completion_tokens_details`). Strings
    are always masked, and a name masks everything.

    Args:
        names: Keys, compared without regard to case.
        pattern: A regular expression that is searched for in each key.

    Raises:
        re.error: The pattern is not a regular expression.
        ValueError: There is neither a name nor a pattern.
    """
    if not names and pattern is None:
        raise ValueError("mask_keys() needs a key's name, or pattern=")
    exact = {name.casefold() for name in names}
    found = re.compile(pattern).search if pattern is not None else lambda _: None

    def mask_member(key: str, value: Any, place: _Place) -> Any:
        if key.casefold() in exact:
            return MASK
        if not found(key):
            return mask(value, _place_in(place, key))
        if not found(_TOKEN.sub("", key)):
            if _TOKEN_COUNT.search(key) and (value is None or _is_number(value)):
                return value
            if place in {"usage", "counts"} and isinstance(value, (dict, list)):
                return mask(value, "counts")
        return MASK

    def mask(value: Any, place: _Place) -> Any:
        if isinstance(value, dict):
            members: dict[Any, Any] = {}
            for key, item in value.items():  # a comprehension would take a frame more a level
                members[key] = mask_member(str(key), item, place)
            return members
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                items.append(mask(item, place))  # noqa: PERF401
            return items
        return MASK if place == "counts" and not _is_number(value) else value

    def mask_keys_of(report: Report) -> Report:
        update: dict[str, Any] = {}
        if "reqPayload" in report.model_fields_set:
            update["reqPayload"] = mask(report.reqPayload, "elsewhere")
        if "respPayload" in report.model_fields_set:
            update["respPayload"] = mask(report.respPayload, "answer")
        if report.tags:
            update["tags"] = mask(report.tags, "elsewhere")
        return report.model_copy(update=update)

    return mask_keys_of


def chain(*hooks: Hook) -> Hook:
    """Combine hooks: each gets the report that the previous one returned; None ends the chain."""

    def chained(report: Report) -> Report | None:
        current: Report | None = report
        for hook in hooks:
            if current is None:
                return None
            current = hook(current)
        return current

    return chained


def _place_in(place: _Place, key: str) -> _Place:
    """Return the place of the member of an object that is in a place."""
    if place == "answer":
        # An event of the Responses API has the answer under `response`.
        return "usage" if key in _USAGE_KEYS else "answer" if key == "response" else "elsewhere"
    return place


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with_payloads(report: Report, change: Callable[[Any], Any]) -> Report:
    update: dict[str, Any] = {
        name: change(getattr(report, name))
        for name in ("reqPayload", "respPayload")
        if name in report.model_fields_set
    }
    return report.model_copy(update=update)


def _map_strings(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """Return a copy with each string replaced by `change(string, its key)`."""
    if isinstance(value, str):
        return change(value, key)
    if isinstance(value, dict):
        members: dict[Any, Any] = {}
        for name, item in value.items():  # a comprehension would take a frame more a level
            members[name] = _map_strings(item, change, str(name))
        return members
    if isinstance(value, list):
        items: list[Any] = []
        for item in value:
            items.append(_map_strings(item, change, key))  # noqa: PERF401
        return items
    return value


def _masked_text(value: Any) -> Any:
    return _map_strings(value, mask_text)


def _without_media(value: Any) -> Any:
    return _map_strings(value, _elide)


def _elide(text: str, key: str) -> str:
    if key in _MEDIA_KEYS and len(text) >= _SHORTEST and _is_base64(text):
        return f"<base64, {_size(text)} bytes>"
    return _elide_data_urls(text)


def _is_base64(text: str) -> bool:
    *lines, last = text.split() or [""]
    return all(
        len(line) >= _SHORTEST_LINE and _BASE64_LINE.fullmatch(line) for line in lines
    ) and bool(_BASE64_LINE.fullmatch(last))


def _elide_data_urls(text: str) -> str:
    parts: list[str] = []
    done = at = 0
    while (found := _BASE64_FOLLOWS.search(text, at)) is not None:
        at = found.end()
        # Each part of the text is looked back over once.
        header = text[max(done, found.start() - _LONGEST_HEADER) : found.start()]
        begin = header.lower().rfind("data:")
        kind, *options = header[begin + 5 :].split(";") if begin >= 0 else [","]
        if "," in kind or "," in _QUOTED.sub("", ";".join(options)):
            parts.append(text[done:at])
        else:
            media = _BASE64_TEXT.match(text, at)
            assert media is not None  # noqa: S101 - it also matches an empty string
            parts.append(text[done : found.start() - len(header) + begin])
            parts.append(f"<{kind.strip() or 'data'}, {_size(media[0])} bytes>")
            at = media.end()
        done = at
    return "".join([*parts, text[done:]]) if parts else text


def _size(base64: str) -> int:
    """Return the number of bytes that base64 encodes."""
    return len("".join(base64.split()).rstrip("=")) * 3 // 4
