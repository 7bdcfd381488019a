"""
Sampling by trace: a trace is sent as a whole or not at all; failures are always sent.

The trace id decides, so that the calls and spans of one trace share the decision in every process.
After a failure the rest of its trace is sent too, including its parents. A report without a trace
is sampled by itself.
"""

from __future__ import annotations

import random
import re

from openpipe_report._report.recent_ids import RecentIds

_DIGITS = 14
"""Hexadecimal digits at the end of a trace id that are random (W3C Trace Context, level 2)."""

_FAILURE = re.compile(
    rb'"error"\s*:\s*[^n\s]'  # any but null
    rb"|\berror:|event: *error"  # lines outside of JSON: server-sent events, llama.cpp's own
    rb'|"(?:type|object)"\s*:\s*"error"'
    rb'|"status"\s*:\s*"(?:failed|incomplete|cancelled)"'
)
"""Signs of an error in the body of a 200; inside of a text, quotes are escaped."""

_COMPLETE = (b"data: [DONE]", b"data:[DONE]", b'"response.completed"')
_TAIL = 64 * 1024


failed_traces = RecentIds()
"""
The newest traces with a failure, of the whole process: the calls of a trace may go through several
reporters.
"""


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
