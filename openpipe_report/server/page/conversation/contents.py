"""The content of one message to parts: text, lists of typed blocks, blocks of any API."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from openpipe_report._report.json_values import get_list, get_object
from openpipe_report.server.page.conversation.parts import (
    Json,
    Media,
    Parts,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_DATA = re.compile(r"data:(image|audio)/([a-zA-Z0-9.+-]{1,40});base64,([A-Za-z0-9+/=\s]*)")
_IMAGES = {"png", "jpeg", "jpg", "gif", "webp", "avif", "bmp"}
_SOUNDS = {"wav", "x-wav", "mpeg", "mp3", "mp4", "ogg", "opus", "webm", "flac", "aac"}
_FROM_AUDIO_FORMAT = {"mp3": "mpeg", "wav": "wav"}


def read_content(content: object) -> Parts:
    """Return the parts of a message's `content`."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    if isinstance(content, list):
        return [part for block in cast("list[object]", content) for part in read_block(block)]
    if isinstance(content, dict):
        return read_block(content)
    return [Json(content)]


def read_output(content: object) -> Parts:
    """Return the parts of what a tool returned: JSON as a value, else as a message's content."""
    if isinstance(content, str) and content.lstrip()[:1] in {"{", "["}:
        found = read_arguments(content)
        if not isinstance(found, str):
            return [Json(found)]
    return read_content(content)


def read_block(block: object) -> Parts:
    """Return the parts of one block of a content, by its `type`."""
    if isinstance(block, str):
        return [Text(block)] if block else []
    entries = get_object(block)
    kind = entries.get("type")
    read = _BLOCKS.get(kind) if isinstance(kind, str) else None
    found = read(entries) if read else None
    return [Json(block)] if found is None else found


def read_arguments(arguments: object) -> Any:
    """Return the arguments of a call as parsed JSON, or as they are where they are none."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments


def read_call(call: object) -> ToolCall | None:
    """Return an entry of `tool_calls`; None if it is not one."""
    entries = get_object(call)
    function = get_object(entries.get("function") or entries.get("custom"))
    name = function.get("name")
    if not isinstance(name, str):
        return None
    arguments = function.get("arguments", function.get("input"))
    kind = "custom" if "custom" in entries else "function"
    return ToolCall(name, read_arguments(arguments), _text(entries.get("id")), kind)


def read_image(url: object) -> Media | None:
    """Return an image by its URL; None if that is none."""
    if not isinstance(url, str):
        return None
    return _from_data_url(url, "image") or Media("image", reference=url)


def image_of_base64(encoded: object, media_type: object = "image/png") -> Media | None:
    """Return an image whose bytes are given; None if they are not."""
    if not isinstance(encoded, str):
        return None
    return _from_data_url(f"data:{media_type};base64,{encoded}", "image")


def _from_data_url(url: str, wanted: str) -> Media | None:
    if not url.startswith("data:"):
        return None
    found = _DATA.fullmatch(url)
    known = _IMAGES if wanted == "image" else _SOUNDS
    if found is None or found[1] != wanted or found[2].lower() not in known:
        return Media(wanted, reference=f"{url[:40]}...", size=len(url))
    return Media(wanted, data_url=url, size=len(found[3]) * 3 // 4)


def _text_of(name: str) -> Callable[[dict[str, Any]], Parts | None]:
    def read(block: dict[str, Any]) -> Parts | None:
        text = block.get(name)
        return [Text(text)] if isinstance(text, str) else None

    return read


def _refusal(block: dict[str, Any]) -> Parts | None:
    text = block.get("refusal")
    return [Refusal(text)] if isinstance(text, str) else None


def _image_url(block: dict[str, Any]) -> Parts | None:
    given = block.get("image_url")
    image = read_image(get_object(given).get("url") if isinstance(given, dict) else given)
    if image is None and isinstance(block.get("file_id"), str):
        image = Media("image", reference=block["file_id"])
    return None if image is None else [image]


def _input_audio(block: dict[str, Any]) -> Parts | None:
    sound = get_object(block.get("input_audio"))
    encoded, form = sound.get("data"), sound.get("format")
    if not isinstance(encoded, str):
        return None
    kind = _FROM_AUDIO_FORMAT.get(form) if isinstance(form, str) else None
    made = _from_data_url(f"data:audio/{kind or form};base64,{encoded}", "audio")
    return None if made is None else [made]


def _file(block: dict[str, Any]) -> Parts:
    nested = block.get("file")
    file = get_object(nested) if isinstance(nested, dict) else block
    encoded = file.get("file_data")
    reference = file.get("file_id") or file.get("file_url")
    return [
        Media(
            "file",
            reference=_text(reference),
            name=_text(file.get("filename")),
            size=len(encoded) * 3 // 4 if isinstance(encoded, str) else None,
        )
    ]


def _anthropic_media(kind: str) -> Callable[[dict[str, Any]], Parts | None]:
    def read(block: dict[str, Any]) -> Parts | None:
        source = get_object(block.get("source"))
        encoded = source.get("data")
        if isinstance(encoded, str) and kind == "image":
            made = image_of_base64(encoded, source.get("media_type"))
            return None if made is None else [made]
        size = len(encoded) * 3 // 4 if isinstance(encoded, str) else None
        reference = _text(source.get("url") or source.get("file_id"))
        if size is None and reference is None:
            return None
        return [Media(kind, reference=reference, name=_text(block.get("title")), size=size)]

    return read


def _tool_use(block: dict[str, Any]) -> Parts | None:
    name = block.get("name")
    if not isinstance(name, str):
        return None
    return [ToolCall(name, block.get("input"), _text(block.get("id")), "tool_use")]


def _tool_result(block: dict[str, Any]) -> Parts:
    is_error = block.get("is_error") is True
    parts = read_output(block.get("content"))
    return [ToolResult(_text(block.get("tool_use_id")), parts, is_error)]


def _thinking(block: dict[str, Any]) -> Parts:
    text = block.get("thinking")
    return [Reasoning(text if isinstance(text, str) else "")]


def _function_call(block: dict[str, Any]) -> Parts | None:
    name, arguments = block.get("name"), block.get("arguments", block.get("input"))
    if not isinstance(name, str):
        return None
    kind = str(block.get("type")).removesuffix("_call")
    return [ToolCall(name, read_arguments(arguments), _text(block.get("call_id")), kind)]


def _function_output(block: dict[str, Any]) -> Parts:
    return [ToolResult(_text(block.get("call_id")), read_output(block.get("output")))]


def _reasoning(block: dict[str, Any]) -> Parts:
    blocks = [*get_list(block.get("summary")), *get_list(block.get("content"))]
    texts = [get_object(one).get("text") for one in blocks]
    return [Reasoning("\n\n".join(text for text in texts if isinstance(text, str)))]


def _image_call(block: dict[str, Any]) -> Parts:
    image = image_of_base64(block.get("result"))
    rest = {name: value for name, value in block.items() if name not in {"result", "type", "id"}}
    called = ToolCall("image_generation", rest, _text(block.get("id")), "image_generation")
    called.result = [image] if image else None
    return [called]


_BLOCKS: dict[str, Callable[[dict[str, Any]], Parts | None]] = {
    "text": _text_of("text"),
    "input_text": _text_of("text"),
    "output_text": _text_of("text"),
    "summary_text": _text_of("text"),
    "reasoning_text": _text_of("text"),
    "refusal": _refusal,
    "image_url": _image_url,
    "input_image": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "input_file": _file,
    "image": _anthropic_media("image"),
    "document": _anthropic_media("file"),
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _thinking,
    "function_call": _function_call,
    "custom_tool_call": _function_call,
    "function_call_output": _function_output,
    "custom_tool_call_output": _function_output,
    "reasoning": _reasoning,
    "image_generation_call": _image_call,
}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
