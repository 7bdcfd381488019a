"""
Words for the record: what an exception was, how a `with` is being left, what was to be sent.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from openpipe_report._report.shared_values import is_expandable

if TYPE_CHECKING:
    from types import FrameType


def describe_error(error: BaseException) -> str:
    """Name an exception, its text, and what caused it."""
    told = _tell(error)
    cause = error.__cause__
    return told if cause is None else f"{told} ({_tell(cause)})"


def _tell(error: BaseException) -> str:
    name = type(error).__name__
    try:
        if not is_expandable(error.args):
            return name
        text = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return name
    return f"{name}: {text}" if text else name


def describe_leaving() -> str | None:
    """Name the exception with which a `with` around the stream is being left, if so."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to see who closes
    for _ in range(12):
        if frame is None:
            return None
        code = frame.f_code
        if code.co_name in {"__exit__", "__aexit__"} and code.co_argcount > 2:  # noqa: PLR2004
            error = frame.f_locals.get(code.co_varnames[2])
            if not isinstance(error, BaseException) or isinstance(error, GeneratorExit):
                return None
            return describe_error(error)
        frame = frame.f_back
    return None


def describe_body(options: Any) -> Any:
    """Say what was to be sent, where there are no bytes to keep: JSON as given, or its kind."""
    body = options.json_data
    extra = options.extra_json
    content = getattr(options, "content", None)  # since openai 2
    if body is None and content is not None:
        return f"<{type(content).__name__}, not kept>"
    if isinstance(body, dict) and isinstance(extra, dict):
        return {**body, **extra}
    return body
