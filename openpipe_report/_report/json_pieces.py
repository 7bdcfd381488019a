"""
Encoding JSON in pieces: other threads of the program can run between two of them.

Text is ASCII-escaped, so that lone surrogates and NUL survive every transport and store (RFC 8259,
section 7).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 64 * 1024
"""Bytes that are encoded at once: for about a millisecond, in which no other thread runs."""
_CHUNK = 1024
_NUMBERS = {int, float, bool, type(None)}
_CONTAINERS = {dict, list, tuple}
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class OverLimitError(Exception):
    """The JSON is longer than it may be."""


def encode_at_once(value: object) -> bytes:
    """
    Encode a small value.

    Raises:
        Exception: JSON cannot say it, or the stack has too little room for its levels.
    """
    return _ENCODER.encode(value).encode("ascii")


def encode_in_pieces(tree: object, limit: int | None = None) -> bytes:
    """
    Encode a tree that JSON can say.

    Raises:
        OverLimitError: There are more than `limit` bytes. Not much more are encoded.
        RecursionError: The stack has too little room for the tree's levels.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in split_into_pieces(tree):
        pieces.append(piece)
        size += len(piece)
        if limit is not None and size > limit:
            raise OverLimitError
    return b"".join(pieces)


def split_into_pieces(tree: object) -> Iterator[bytes]:
    """Yield the JSON of a tree in pieces that take a few milliseconds at the most."""
    # A stack of our own: a tree has more levels than the interpreter may have room for.
    stack = [_parts_of(tree)]
    while stack:
        part = next(stack[-1], None)
        if part is None:
            stack.pop()
        elif isinstance(part, bytes):
            yield part
        else:
            stack.append(_parts_of(part.value))


@dataclass(frozen=True, slots=True)
class _Large:
    """An item or member that is encoded in pieces of its own."""

    prefix: bytes
    """The name of a member and its colon."""
    value: Any


def _parts_of(value: Any) -> Iterator[bytes | _Large]:
    if isinstance(value, dict):
        return _join_parts(b"{", _group_members(value), b"}")
    if isinstance(value, list):
        return _join_parts(b"[", _group_items(value), b"]")
    return _parts_of_text(value) if isinstance(value, str) else iter([encode_at_once(value)])


def _parts_of_text(text: str) -> Iterator[bytes | _Large]:
    yield b'"'
    for start in range(0, len(text), SMALL):
        yield encode_at_once(text[start : start + SMALL])[1:-1]
    yield b'"'


def _join_parts(
    begin: bytes, parts: Iterator[dict[str, Any] | list[Any] | _Large], end: bytes
) -> Iterator[bytes | _Large]:
    mark = begin
    for part in parts:
        if isinstance(part, _Large):
            yield mark + part.prefix
            yield part
        else:
            yield mark + encode_at_once(part)[1:-1]
        mark = b","
    yield begin + end if mark is begin else end


def _group_items(values: list[Any]) -> Iterator[list[Any] | _Large]:
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        if set(map(type, chunk)) <= _NUMBERS:
            yield chunk
            continue
        group: list[Any] = []
        room = SMALL
        for item in chunk:
            weight = weigh(item, SMALL)
            if weight > room and group:
                yield group
                group, room = [], SMALL
            if weight > SMALL:
                yield _Large(b"", item)
            else:
                group.append(item)
                room -= weight
        if group:
            yield group


def _group_members(values: dict[str, Any]) -> Iterator[dict[str, Any] | _Large]:
    group: dict[str, Any] = {}
    room = SMALL
    for key, item in values.items():
        weight = weigh(item, SMALL) + len(key)
        if weight > room and group:
            yield group
            group, room = {}, SMALL
        if weight > SMALL:
            yield _Large(encode_at_once(key) + b":", item)
        else:
            group[key] = item
            room -= weight
    if group:
        yield group


def is_small(value: object) -> bool:
    """Return whether a value's JSON has about `SMALL` bytes or less."""
    return weigh(value, SMALL) <= SMALL


def weigh(value: Any, limit: int) -> int:
    """
    Estimate the bytes of a value's JSON, as far as `limit`.

    An object that has to be opened first counts as large: nobody knows what is in it.
    """
    total = 0
    pending = [value]
    while pending and total <= limit:
        value = pending.pop()
        kind = type(value)
        if kind is str:
            total += len(value) + 3
        elif kind in _NUMBERS:
            total += 8
        elif kind in _CONTAINERS:
            total += 2 + 4 * len(value)
            if total > limit:
                break
            if kind is dict:
                try:
                    total += sum(map(len, value))
                except Exception:  # noqa: BLE001 - a key that is no string
                    return limit + 1
                pending.extend(value.values())
            else:
                pending.extend(value)
        else:
            return limit + 1
    return total
