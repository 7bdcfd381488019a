"""
Ready-made `before_report` hooks: what they return is sent in place of the report.

    Reporter(before_report=chain(elide_media, mask_keys("email", pattern=r"(?i)secret|token")))

They make new payloads and leave those of the report they were given as they are. All of them may
run on several threads at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._report.model import Report

    Hook = Callable[[Report], Report | None]

MASK = "[masked]"

_DATA_URL = re.compile(
    r"data:([^,;]{0,80})(?:;\s*(?!base64,)(?:\"[^\"]{0,80}\"|[^,;\"]){0,80}){0,8};\s*base64,\s*"
    # White space only within: where a line of base64 follows.
    r"((?:[a-z0-9+/_=%-]|\s{1,2}(?=[a-z0-9+/_=%-]{24}))*)",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{40,}\s+)*[A-Za-z0-9+/_-]*={0,2}\s*")
_SHORTEST = 64
_MEDIA_KEYS = frozenset({"b64_json", "data", "file_data", "partial_image_b64", "result", "audio"})


def elide_media(report: Report) -> Report:
    """
    Replace base64 media - images, audio, files - by what it was, as `<image/png, 3072 bytes>`.

    Data URLs are found in any string of the payloads; bare base64 (of 64 characters or more) under
    the keys that OpenAI's API has it under: `b64_json`, `data`, `file_data`, `partial_image_b64`,
    `result`, `audio`.
    """
    return _with_payloads(report, _without_media)


def mask_keys(*names: str, pattern: str | None = None) -> Hook:
    """
    Make a hook that replaces the values of certain keys by `[masked]`, at any depth.

    Keys of the payloads, the labels in `reqPayload.metadata` among them, and of the tags. JSON
    inside of strings (tool calls' `arguments`) is not looked into.

    Args:
        names: Keys, in any case.
        pattern: A regular expression that is looked for in each key.

    Raises:
        re.error: The pattern is none.
        ValueError: There is neither a name nor a pattern.
    """
    if not names and pattern is None:
        raise ValueError("mask_keys() needs a key's name, or pattern=")
    exact = {name.casefold() for name in names}
    found = re.compile(pattern).search if pattern is not None else lambda _: None

    def is_masked(key: str) -> bool:
        return key.casefold() in exact or bool(found(key))

    def mask(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: MASK if is_masked(str(k)) else mask(item) for k, item in value.items()}
        if isinstance(value, list):
            return [mask(item) for item in value]
        return value

    def mask_keys_of(report: Report) -> Report:
        masked = _with_payloads(report, mask)
        return masked.model_copy(update={"tags": mask(report.tags)}) if report.tags else masked

    return mask_keys_of


def chain(*hooks: Hook) -> Hook:
    """Make one hook of several: each gets what the one before returned, until one returns None."""

    def chained(report: Report) -> Report | None:
        current: Report | None = report
        for hook in hooks:
            if current is None:
                return None
            current = hook(current)
        return current

    return chained


def _with_payloads(report: Report, change: Callable[[Any], Any]) -> Report:
    update: dict[str, Any] = {
        name: change(getattr(report, name))
        for name in ("reqPayload", "respPayload")
        if name in report.model_fields_set
    }
    return report.model_copy(update=update)


def _without_media(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _without_media(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_media(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if key in _MEDIA_KEYS and len(value) >= _SHORTEST and _BASE64.fullmatch(value):
        return f"<base64, {_size(value)} bytes>"
    if "base64," in value.lower():
        return _DATA_URL.sub(_describe, value)
    return value


def _describe(match: re.Match[str]) -> str:
    return f"<{match[1].strip() or 'data'}, {_size(match[2])} bytes>"


def _size(base64: str) -> int:
    """How many bytes base64 stands for."""
    return len("".join(base64.split()).rstrip("=")) * 3 // 4
