"""
Sampling by trace: a trace is sent as a whole or not at all; failures are always sent.

The trace id decides, so that the calls and spans of one trace share the decision in every process.
After a failure the rest of its trace is sent too, including its parents. A report without a trace
is sampled by itself.
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
"""Signs of an error in the body of a 200; inside of a text, quotes are escaped."""

_COMPLETE = (b"data: [DONE]", b"data:[DONE]", b'"response.completed"')
_TAIL = 64 * 1024


class FailedTraces:
    """The newest traces with a failure. Shared without a lock."""

    def __init__(self, limit: int = _MAX_FAILED) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, trace_id: str) -> None:
        """Add a trace; drop the oldest ones beyond the limit."""
        self._ids[trace_id] = None
        while len(self._ids) > self._limit:
            try:
                self._ids.popitem(last=False)
            except KeyError:  # another thread was faster
                return

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._ids


failed_traces = FailedTraces()
"""The process has one set: the calls of a trace may go through several reporters."""


def is_sampled(trace_id: str | None, rate: float) -> bool:
    """Return whether a report without a failure is sent."""
    if rate >= 1:
        return True
    if trace_id is None:
        return random.random() < rate  # noqa: S311 - no secret
    if trace_id in failed_traces:
        return True
    share: float = int(trace_id[-_DIGITS:], 16) / 16**_DIGITS
    return share < rate


def contains_no_error(body: bytes, *, is_stream: bool) -> bool:
    """
    Return whether the body of an answer with status 200 is known to contain no error.

    The bytes are searched without decoding; False means that the answer has to be decoded.
    """
    if is_stream and not any(sign in body[-_TAIL:] for sign in _COMPLETE):
        return False
    return _FAILURE.search(body) is None
