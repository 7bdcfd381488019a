"""
Compression of the pieces of a stream while it is read: neighbouring pieces become one.

A raw stream takes about 350 bytes a token, most of them the same in each event. Unfolding restores
every byte.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

PIECE_OVERHEAD = 48
"""Bytes of memory that a piece takes beside its content."""
_WORTHWHILE = 0.7
"""A compressed piece that saves less is discarded, as for an encoded stream."""


@dataclass(frozen=True, slots=True, repr=False)
class Folded:
    """Several compressed pieces; `len()` is their size in memory."""

    compressed: bytes

    def __len__(self) -> int:
        return len(self.compressed)


Piece = bytes | Folded


def fold(pieces: list[bytes]) -> Folded | None:
    """Compress pieces into one, piece by piece; None if that saves too little."""
    compressor = zlib.compressobj(level=1)
    compressed = b"".join([*map(compressor.compress, pieces), compressor.flush()])
    if len(compressed) > _WORTHWHILE * sum(map(len, pieces)):
        return None
    return Folded(compressed)


def unfold(pieces: list[Piece]) -> bytes:
    """Join pieces, folded or not, in order."""
    return b"".join(
        zlib.decompress(piece.compressed) if isinstance(piece, Folded) else piece
        for piece in list(pieces)  # a copy: another thread may be about to fold some of them
    )


def join_around_gap(head: bytes, tail: bytes) -> bytes:
    """Join the complete events of both ends of a stream without its middle."""
    begun = max(head.rfind(b"\n\n") + 2, head.rfind(b"\r\n\r\n") + 4)
    ends = [end for end in (tail.find(b"\n\n"), tail.find(b"\r\n\r\n")) if end >= 0]
    return head[:begun] + b"\n\n" + (tail[min(ends) :].lstrip() if ends else b"")
