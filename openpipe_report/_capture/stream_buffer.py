"""
The bytes of an open stream, within the memory limit of the reporter.

Long streams are kept whole: threads of the reporter fold (compress) their pieces while the stream
continues. If memory runs out all the same, the middle of the stream is dropped. Its beginning has
the model and the ids; its end has the terminal event, the finish_reason and the usage.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from openpipe_report._log import run_guarded
from openpipe_report._report.folding import PIECE_OVERHEAD, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._delivery.budget import Reservation
    from openpipe_report._report.folding import Piece

_STEP = 64 * 1024
"""Bytes of memory that are reserved at once, so that few chunks wait for a reservation."""
_HEAD = 16 * 1024
"""Bytes of the beginning that are kept if the middle is dropped."""
_FOLD_AT = 1024 * 1024
"""Bytes received since the last fold, after which the next fold starts."""


class StreamBuffer:
    """
    The chunks of one stream.

    The stream's reader calls `append()`; threads of the reporter call `_fold()`, one at a time.
    They share the list of pieces without a lock: the reader appends to its end, and the fold
    replaces several pieces before that end by one. Both are atomic in CPython.

    Args:
        reservation: Memory for the pieces; the owner closes it.
        run_soon: Runs a function on a thread of the reporter.
        overhead: Bytes that the report needs besides the pieces, mostly for the request.
        max_bytes: Maximum of raw bytes to keep.
        max_tail: Maximum of bytes to keep of the stream's end if its middle is dropped.
    """

    def __init__(
        self,
        reservation: Reservation,
        run_soon: Callable[[Callable[[], None]], None],
        *,
        overhead: int,
        max_bytes: int,
        max_tail: int,
    ) -> None:
        self.pieces: list[Piece] = []
        self.tail: deque[bytes] | None = None
        """The stream's last chunks if its middle was dropped, else None."""
        self._reservation = reservation
        self._run_soon = run_soon
        self._max_bytes = max_bytes
        self._max_tail = max_tail
        self._held = overhead
        self._allowed = 0
        self._tail_room = self._tail_size = 0
        self._since_fold = 0
        self._is_folding = False
        self._folded = 0
        """Number of pieces at the beginning that are folded or cannot be."""

    def append(self, chunk: bytes) -> None:
        """Keep a chunk; when memory has run out, keep as much of the stream's end as fits."""
        if self.tail is not None:
            self._append_to_tail(chunk)
            return
        self._held += len(chunk) + PIECE_OVERHEAD
        if self._held > self._allowed and not self._grow(len(chunk)):
            self._begin_tail()
            self._append_to_tail(chunk)
            return
        self.pieces.append(chunk)

    def _grow(self, size: int) -> bool:
        step = min(max(_STEP, self._held - self._allowed), self._max_bytes - self._allowed)
        if self._held > self._max_bytes or not self._reservation.grow(step):
            return False
        self._allowed += step
        self._since_fold += max(step, size)
        if self._since_fold >= _FOLD_AT and not self._is_folding:
            self._since_fold = 0
            self._is_folding = True
            self._run_soon(self._fold)
        return True

    def _begin_tail(self) -> None:
        """Drop the last chunks, to have room for a long terminal event."""
        self.tail = deque()
        room = min(self._max_tail, self._allowed - _HEAD)
        while self._tail_room < room and self.pieces[1:] and isinstance(self.pieces[-1], bytes):
            self._tail_room += len(self.pieces.pop()) + PIECE_OVERHEAD

    def _append_to_tail(self, chunk: bytes) -> None:
        assert self.tail is not None  # noqa: S101 - checked by the caller
        self.tail.append(chunk)
        self._tail_size += len(chunk) + PIECE_OVERHEAD
        if self._tail_size > self._tail_room and self._tail_room < self._max_tail:
            step = max(_STEP, self._tail_size - self._tail_room)
            if self._reservation.grow(step):  # other reports have released memory
                self._tail_room += step
        while self._tail_size > self._tail_room and self.tail:
            self._tail_size -= len(self.tail.popleft()) + PIECE_OVERHEAD

    def _fold(self) -> None:
        run_guarded("folding a stream", self._fold_pieces)
        self._is_folding = False

    def _fold_pieces(self) -> None:
        begin, end = self._folded, len(self.pieces)
        raw = [piece for piece in self.pieces[begin:end] if isinstance(piece, bytes)]
        folded = fold(raw)
        if folded is None:
            self._folded = end
        elif self.tail is None:
            self.pieces[begin:end] = [folded]
            self._folded = begin + 1
            saved = sum(map(len, raw)) + PIECE_OVERHEAD * (len(raw) - 1) - len(folded)
            self._reservation.shrink(saved)
