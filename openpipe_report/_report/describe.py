"""
Descriptions for a report: of an exception, of the way a `with` block ends, of an unsent body.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from openpipe_report._report.shared_values import is_expandable

if TYPE_CHECKING:
    from types import FrameType


def describe_error(error: BaseException) -> str:
    """Return the name and text of an exception, and those of its cause."""
    text = _name_with_text(error)
    cause = error.__cause__
    return text if cause is None else f"{text} ({_name_with_text(cause)})"


def _name_with_text(error: BaseException) -> str:
    name = type(error).__name__
    try:
        if not is_expandable(error.args):
            return name
        text = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return name
    return f"{name}: {text}" if text else name


def describe_leaving() -> str | None:
    """Describe the exception that ends a `with` block around the stream; None without one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to find the caller of close()
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
    """
    Return the body of a request that was never built, or that can be read only once.

    It is the JSON as given, with the names and sizes of uploaded files, or else the body's type.
    """
    body = options.json_data
    extra = options.extra_json
    content = getattr(options, "content", None)  # since openai 2
    if body is None and content is not None:
        return f"<{type(content).__name__}, not kept>"
    if isinstance(body, dict):
        files = _describe_files(options.files) if options.files else {}
        return {**body, **files, **(extra if isinstance(extra, dict) else {})}
    return body


def _describe_files(files: Any) -> dict[str, Any]:
    """
    Describe uploaded files: `{"file": {"filename": "a.mp3", "size": 3072}}`.

    Args:
        files: As httpx takes them: the fields and their files, as a dict or as pairs. A field with
            several files gets a list.
    """
    described: dict[str, Any] = {}
    for name, file in files.items() if isinstance(files, dict) else files:
        one = _describe_file(file)
        if name not in described:
            described[name] = one
        elif isinstance(described[name], list):
            described[name].append(one)
        else:
            described[name] = [described[name], one]
    return described


def _describe_file(file: Any) -> dict[str, Any]:
    filename, content, kind, *_ = (*file, None) if isinstance(file, tuple) else (None, file, None)
    described = {
        "filename": filename,
        "content_type": kind,
        "size": len(content) if isinstance(content, (bytes, str)) else None,
    }
    return {key: value for key, value in described.items() if isinstance(value, (str, int))}
