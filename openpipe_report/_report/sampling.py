"""
Which reports are sent: a trace is sent whole or not at all, failures always are.

The trace id decides, so that the calls and spans of one trace share one decision wherever they are
made. A failure keeps the rest of its trace: the reports that are built after it, its parents among
them. A report that belongs to no trace is decided by itself.
"""

from __future__ import annotations

import random
import re
from collections import OrderedDict

_DIGITS = 14
"""Hexadecimal digits at the end of a trace id that are random (W3C Trace Context, level 2)."""
_MAX_FAILED = 10_000

_FAILURE = re.compile(
    rb'"error"\s*:\s*[^n\s]'  # any but null
    rb"|\berror:|event: *error"  # lines outside of JSON: server-sent events, llama.cpp's own
    rb'|"(?:type|object)"\s*:\s*"error"'
    rb'|"status"\s*:\s*"(?:failed|incomplete|cancelled)"'
)
"""What a failure told in the body of a 200 has in it; the same inside of a text is escaped."""

_COMPLETE = (b"data: [DONE]", b"data:[DONE]", b'"response.completed"')
_TAIL = 64 * 1024


class FailedTraces:
    """The traces in which something failed, the newest of them. Shared without a lock."""

    def __init__(self, limit: int = _MAX_FAILED) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, trace_id: str) -> None:
        """Remember a trace; the oldest is forgotten where there are too many."""
        self._ids[trace_id] = None
        while len(self._ids) > self._limit:
            try:
                self._ids.popitem(last=False)
            except KeyError:  # another thread was faster
                return

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._ids


failed_traces = FailedTraces()
"""Of the whole process: the calls and spans of a trace may go through several reporters."""


def is_sampled(trace_id: str | None, rate: float) -> bool:
    """Return whether a report is sent although nothing is known to have failed."""
    if rate >= 1:
        return True
    if trace_id is None:
        return random.random() < rate  # noqa: S311 - no secret
    if trace_id in failed_traces:
        return True
    share: float = int(trace_id[-_DIGITS:], 16) / 16**_DIGITS
    return share < rate


def tells_no_failure(body: bytes, *, is_stream: bool) -> bool:
    """
    Return whether the body of an answer with status 200 surely tells no failure.

    It is looked for without decoding anything: False means that the answer has to be read.
    """
    if is_stream and not any(sign in body[-_TAIL:] for sign in _COMPLETE):
        return False
    return _FAILURE.search(body) is None
