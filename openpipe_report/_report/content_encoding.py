"""
A body's bytes -> its value: undo Content-Encoding, then JSON, or else text.

Codecs are the ones that httpx and httpx2 use when they are installed. A stream that was cut gives
what can be read of it.
"""

from __future__ import annotations

import re
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from openpipe_report._report.json_codec import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DECODED = 256 * 1024 * 1024
"""Bytes of a decoded body that are kept: a few KB can unpack to any size."""


class UndecodableError(Exception):
    """The body's encoding is one that this installation cannot decode, or the bytes are broken."""


def decode_content(raw: bytes, encoding: str) -> bytes:
    """
    Undo `Content-Encoding` (RFC 9110, section 8.4).

    Raises:
        UndecodableError: The codec is unknown or not installed, or the bytes are broken.
    """
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in {"", "identity"} or not raw:
            continue
        decode = _CODECS.get(name)
        try:
            raw = decode(raw) if decode else _unavailable()
        except ImportError:
            raise UndecodableError(
                f"the answer's content-encoding {name!r} cannot be decoded here"
            ) from None
        except Exception as problem:  # noqa: BLE001 - each codec has errors of its own
            raise UndecodableError(
                f"the answer's content-encoding {name!r} is broken: {type(problem).__name__}"
            ) from None
    return raw


def decode_body(body: bytes, content_type: str = "") -> Any:
    """Decode a body: JSON, or else its text; None if it is empty."""
    if not body:
        return None
    try:
        return parse_json(body)
    except ValueError:
        charset = re.search(r"charset=[\"']?([\w-]+)", content_type)
    try:
        return body.decode(charset[1] if charset else "utf-8")
    except (LookupError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


def _unavailable() -> bytes:
    raise ImportError


def _gzip(raw: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, MAX_DECODED)


def _deflate(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(raw, MAX_DECODED)
    except zlib.error:  # some servers leave out the zlib header
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, MAX_DECODED)


def _brotli(raw: bytes) -> bytes:
    decoder = _import_first("brotli", "brotlicffi").Decompressor()
    decode: Callable[[bytes], bytes] = getattr(decoder, "decompress", None) or decoder.process
    return decode(raw)


def _zstd(raw: bytes) -> bytes:
    module = _import_first("compression.zstd", "backports.zstd", "zstandard")
    if module.__name__ == "zstandard":
        decode: Callable[[bytes], bytes] = module.ZstdDecompressor().decompressobj().decompress
        return decode(raw)
    whole: bytes = module.ZstdDecompressor().decompress(raw, MAX_DECODED)
    return whole


def _import_first(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ImportError


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
