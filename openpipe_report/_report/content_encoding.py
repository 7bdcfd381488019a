"""
Decoding a body: its Content-Encoding, then its JSON or text.

The codecs are those that httpx and httpx2 use if they are installed. Each yields its output in
pieces, so that a body takes no more memory than the limit, whatever it unpacks to. Of a stream that
was cut, the readable part is returned.
"""

from __future__ import annotations

import codecs
import re
import zlib
from base64 import b64encode
from importlib import import_module
from typing import TYPE_CHECKING, Any

from openpipe_report._report.json_codec import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DECODED = 64 * 1024 * 1024
"""Most bytes of a decoded body: a few hundred can unpack to any size."""

_PIECE = 1024 * 1024
"""Bytes of output at once."""
_SLICE = 64 * 1024
"""Bytes of input at once."""
_SMALL_SLICE = 16
"""The same for a codec whose output cannot be limited: each byte may give a megabyte."""


class UndecodableError(Exception):
    """
    The body's encoding is not supported by this installation, or the bytes are broken.

    Args:
        message: A description of the problem.
        decoded: The part that could be decoded.
    """

    def __init__(self, message: str, decoded: bytes = b"") -> None:
        super().__init__(message, decoded)
        self.message = message
        self.decoded = decoded

    def __str__(self) -> str:
        return self.message


def decode_content(raw: bytes, encoding: str, limit: int = MAX_DECODED) -> bytes:
    """
    Undo `Content-Encoding` (RFC 9110, section 8.4), up to `limit` bytes.

    Raises:
        UndecodableError: The codec is unknown or not installed, or the bytes are broken.
    """
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in {"", "identity"} or not raw:
            continue
        decoded = bytearray()
        try:
            for piece in _CODECS.get(name, _unavailable)(raw):
                decoded += piece[: limit - len(decoded)]
                if len(decoded) >= limit:
                    break
        except ImportError:
            raise UndecodableError(
                f"the answer's content-encoding {name!r} cannot be decoded here"
            ) from None
        except Exception as problem:  # noqa: BLE001 - each codec has errors of its own
            raise UndecodableError(
                f"the answer's content-encoding {name!r} is broken: {type(problem).__name__}",
                bytes(decoded),
            ) from None
        raw = bytes(decoded)
    return raw


def decode_body(body: bytes, content_type: str = "") -> Any:
    """Return a body as JSON or else as text; None if it is empty."""
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


_TEXT_TYPES = re.compile(
    r"text/|[\w./+-]*(?:json|xml|yaml|javascript|x-www-form-urlencoded|ndjson)"
)
_UTF_8 = codecs.getincrementaldecoder("utf-8")
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BINARY_TYPES = re.compile(
    r"(?:audio|video|image|font)/|application/(?:octet-stream|ogg|pdf|zip|gzip|x-tar|protobuf)"
)


def is_binary(body: bytes, content_type: str = "") -> bool:
    """
    Return whether a body that is not JSON is binary, by its type or else by its bytes.

    Args:
        body: The body, or its beginning.
        content_type: The type that the server gives; some call audio JSON.
    """
    kind = content_type.strip().lower()
    is_text_type = _TEXT_TYPES.match(kind) is not None
    if not is_text_type and _BINARY_TYPES.match(kind):
        return True
    if b"charset" in kind.encode("ascii", "replace") or body.startswith(_BOMS):
        return False
    if is_text_type and b"\0" not in body:
        return False
    try:
        text = _UTF_8().decode(body)  # the last character may be cut
    except UnicodeDecodeError:
        return True
    return not is_text_type and "\0" in text


def describe_binary(body: bytes, content_type: str, *, with_base64: bool) -> dict[str, Any]:
    """Return the type and size of a body: `{"content_type": "audio/mpeg", "size": 3072}`."""
    described: dict[str, Any] = {"content_type": content_type.partition(";")[0].strip()}
    if not described["content_type"]:
        del described["content_type"]
    described["size"] = len(body)
    if with_base64:
        described["base64"] = b64encode(body).decode()
    return described


def _unavailable(_: bytes) -> Iterator[bytes]:
    raise ImportError


def _slices(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def _inflate(raw: bytes, wbits: int, slice_size: int = _SLICE) -> Iterator[bytes]:
    at = 0
    while True:
        decoder = zlib.decompressobj(wbits)
        for piece in _slices(raw[at:], slice_size):
            at += len(piece)
            rest, got = piece, b""
            while rest or len(got) == _PIECE:  # a full piece of output: more may be pending
                yield (got := decoder.decompress(rest, _PIECE))
                rest = decoder.unconsumed_tail
            if decoder.eof:
                break
        at -= len(decoder.unused_data)
        # Another member may follow (RFC 1952, section 2.2).
        if not (decoder.eof and wbits & 16 and raw[at : at + 2] == b"\x1f\x8b"):
            return


def _gzip(raw: bytes, slice_size: int = _SLICE) -> Iterator[bytes]:
    return _inflate(raw, zlib.MAX_WBITS | 16, slice_size)


def _deflate(raw: bytes) -> Iterator[bytes]:
    try:
        zlib.decompressobj().decompress(raw[:2])
    except zlib.error:  # some servers leave out the zlib header
        return _inflate(raw, -zlib.MAX_WBITS)
    return _inflate(raw, zlib.MAX_WBITS)


def _brotli(raw: bytes) -> Iterator[bytes]:
    decoder = _import_first("brotli", "brotlicffi").Decompressor()
    decode: Callable[..., bytes] = getattr(decoder, "decompress", None) or decoder.process
    try:
        decode(b"", output_buffer_limit=_PIECE)
    except TypeError:  # before brotli 1.2
        yield from map(decode, _slices(raw, _SMALL_SLICE))
        return
    for piece in _slices(raw, _SLICE):
        yield decode(piece, output_buffer_limit=_PIECE)
        while not decoder.can_accept_more_data():
            yield decode(b"", output_buffer_limit=_PIECE)


def _zstd(raw: bytes) -> Iterator[bytes]:
    module = _import_first("compression.zstd", "backports.zstd", "pyzstd", "zstandard")
    if module.__name__ == "zstandard":
        reader = module.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        while piece := reader.read(_PIECE):
            yield piece
        return
    while raw:  # frame after frame (RFC 8878, section 3)
        decoder = module.ZstdDecompressor()
        yield decoder.decompress(raw, _PIECE)
        while not (decoder.eof or decoder.needs_input):
            yield decoder.decompress(b"", _PIECE)
        raw = decoder.unused_data if decoder.eof else b""


def _import_first(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ImportError


_CODECS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
