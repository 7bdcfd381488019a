"""
What crossed the wire -> a `Report`.

Everything here runs on the reporter's threads: decoding, merging chunks and metadata, finding the
error's message.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openpipe_report._log import log_internal_error
from openpipe_report._report.content_encoding import (
    MAX_DECODED,
    UndecodableError,
    decode_body,
    decode_content,
    describe_binary,
    is_binary,
)
from openpipe_report._report.failures import error_message, find_failure
from openpipe_report._report.final_states import final_states
from openpipe_report._report.folding import PIECE_OVERHEAD, join_around_gap, unfold
from openpipe_report._report.json_codec import MAX_DEPTH, copy_json, encode_json, is_too_deep
from openpipe_report._report.model import Report
from openpipe_report._report.sampling import contains_no_error
from openpipe_report._report.sent_json import SentJson, read_strictly
from openpipe_report._report.stream_formats import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report._report.folding import Piece

_OVERHEAD = 1024
_PREFIX = 4096
_LEVELS_ABOVE = 2
"""Levels of a report around the labels: the report and the request."""
_ENDED_EARLY = "stream ended before completion"
_SCALARS = {str, bool, int, float}

SDK = "openpipe-report"


def trace_tags(trace_id: str, span_id: str, parent_span_id: str | None) -> dict[str, str]:
    """Return the tags that identify the trace and span of a report."""
    tags = {"$trace_id": trace_id, "$span_id": span_id}
    return tags if parent_span_id is None else {**tags, "$parent_span_id": parent_span_id}


@dataclass(slots=True, eq=False, repr=False)
class Exchange:
    """One logical call as it was sent and received. Times are in seconds."""

    endpoint: str
    version: str
    requested_at: float
    """Unix time when the call began."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    trace_id: str | None = None
    parent_span_id: str | None = None
    request: bytes | None = None
    """The request's body; None if no request was built, or its body can be read only once."""
    request_options: Any = None
    """The body as a Python value, where `request` is None."""
    status: int | None = None
    content: bytes | None = None
    """The answer's body, decoded."""
    chunks: list[Piece] | None = None
    """The answer's body as it came over the network, still encoded."""
    tail: list[bytes] | None = None
    """The end of the body, if its middle, after `chunks`, was too large to keep."""
    content_type: str = ""
    content_encoding: str = ""
    keeps_binary: bool = False
    """Whether a binary answer is reported as base64, beside its type and size."""
    closed_early: str | None = None
    """Why reading stopped before the end; ignored if the terminal event was received."""
    is_broken_off: bool = False
    """Whether the network ended the stream, not its reader."""
    error: str | None = None
    polled_response_id: str | None = None
    """The id of the background response that the call polls."""
    retries: int = 0
    seconds: float = 0.0
    """Duration of the call."""
    seconds_to_last_byte: float | None = None
    seconds_to_first_byte: float | None = None
    max_decoded: int = MAX_DECODED
    """Most bytes of the answer without its content-encoding."""

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the exchange takes."""
        size = _OVERHEAD + len(self.request or b"") + len(self.content or b"")
        if self.chunks is not None:
            chunks = [*self.chunks, *(self.tail or ())]
            size += sum(map(len, chunks)) + PIECE_OVERHEAD * len(chunks)
        return size

    def is_known_success(self) -> bool:
        """Return whether the call is known to have succeeded, without decoding its answer."""
        if self.polled_response_id is not None or self.tail is not None:
            return False
        if self.error is not None or self.closed_early is not None or self.status != 200:  # noqa: PLR2004
            return False
        body, problem = self._decode()
        if problem is not None:
            return False
        return contains_no_error(body, is_stream=not _looks_like_json(body))

    def build(self, sent: dict[str, SentJson] | None = None) -> Report | None:
        """
        Build the report; None for a poll whose final state was already reported.

        Args:
            sent: Takes the payloads that can stand in the report as they crossed the wire, by the
                names of their fields.
        """
        sent = {} if sent is None else sent
        value, error, whole = self._read_answer(sent)
        if self.polled_response_id is not None and not final_states.claim(value):
            return None
        fields: dict[str, Any] = {
            "requestedAt": round(self.requested_at * 1000),
            "reqPayload": self._request_payload(sent),
            "tags": self._tags(),
        }
        seconds = self.seconds
        if whole and self.seconds_to_last_byte is not None:
            seconds = self.seconds_to_last_byte
        fields["receivedAt"] = round((self.requested_at + seconds) * 1000)
        if self.status is not None:
            fields["statusCode"] = self.status
            fields["respPayload"] = value
        if error is not None:
            fields["errorMessage"] = error
        return Report(**fields)

    def _tags(self) -> dict[str, Any]:
        tags: dict[str, Any] = {
            str(key): value
            if value is None
            or isinstance(value, (str, int))
            or (isinstance(value, float) and math.isfinite(value))
            else encode_json(value).decode().strip('"')
            for key, value in self.tags.items()
        }
        if self.trace_id is not None:
            tags |= trace_tags(self.trace_id, os.urandom(8).hex(), self.parent_span_id)
        tags["$sdk"] = SDK
        tags["$sdk.version"] = self.version
        tags["$endpoint"] = self.endpoint
        tags["$retries"] = self.retries
        if self.seconds_to_first_byte is not None:
            tags["$time_to_first_byte_ms"] = round(self.seconds_to_first_byte * 1000, 3)
        return tags

    def _request_payload(self, sent: dict[str, SentJson]) -> dict[str, Any]:
        payload, is_as_sent = self._read_request()
        own = payload.get("metadata")
        merged = {
            key: value if value is None or type(value) in _SCALARS else copy_json(value)[0]
            for key, value in self.metadata.items()
        }
        fits = not merged or (
            "metadata" not in payload and not is_too_deep(merged, MAX_DEPTH - _LEVELS_ABOVE)
        )
        if is_as_sent and self.request and fits:
            sent["reqPayload"] = SentJson(self.request, merged)
        if isinstance(own, dict):
            merged = {**merged, **own}
        if merged and (own is None or isinstance(own, dict)):
            payload = {**payload, "metadata": merged}
        return payload

    def _read_request(self) -> tuple[dict[str, Any], bool]:
        """Return the request as an object, and whether its body is the strict JSON of it."""
        if self.polled_response_id is not None:
            return {"response_id": self.polled_response_id}, False
        if not self.request:
            payload = copy_json(self.request_options)[0]
            return (payload if isinstance(payload, dict) else {"body": payload}), False
        payload, is_strict = _read_json(self.request)
        if isinstance(payload, dict):
            return payload, is_strict
        if isinstance(payload, str) and is_binary(self.request):
            payload = describe_binary(self.request, "", with_base64=False)
        return {"body": payload}, False

    def _read_answer(self, sent: dict[str, SentJson]) -> tuple[Any, str | None, bool]:
        """Return the answer, what went wrong, and whether all of the answer came."""
        if self.status is None:
            return None, self.error or self.closed_early, False
        body, problem = self._decode()
        if problem is not None and not body:
            return None, self.error or self.closed_early or problem, False
        return self._read_body(body, problem, sent)

    def _decode(self) -> tuple[bytes, str | None]:
        """Return the answer's bytes without their content-encoding, and why some are missing."""
        if self.chunks is None:
            return self.content or b"", None
        limit = self.max_decoded
        try:
            body = decode_content(unfold(self.chunks), self.content_encoding, limit)
        except UndecodableError as problem:
            return problem.decoded, problem.message
        if self.content_encoding and len(body) == limit:
            return body, f"the answer unpacks to {limit} bytes or more; this is its beginning"
        if self.tail is not None and not self.content_encoding:
            body = join_around_gap(body, b"".join(self.tail))
        return body, None

    def _read_body(
        self, body: bytes, problem: str | None, sent: dict[str, SentJson]
    ) -> tuple[Any, str | None, bool]:
        cut = problem is not None or (self.chunks is not None and self.closed_early is not None)
        error = self.error or problem
        assembled = None
        if not (_looks_like_json(body) or is_binary(body[:_PREFIX], self.content_type)):
            try:
                assembled = assemble(body, self._choices_asked_for())
            except Exception:  # noqa: BLE001 - the record is then the stream's text
                log_internal_error("assembling a stream")
        if self.tail is not None and not (assembled is not None and assembled.is_whole):
            error = error or "the answer outgrew the memory for reports; its middle is missing"
        if assembled is not None:
            error = error or assembled.error
            if not assembled.complete:
                error = error or self.closed_early
                if assembled.has_known_end:
                    error = error or _ENDED_EARLY
            elif self.is_broken_off and not assembled.ended:
                error = error or self.closed_early
            return assembled.value, error, assembled.complete
        value = self._value_of(body, self.content_type, sent)
        if cut and not isinstance(value, (dict, list)):
            error = error or self.closed_early
        if error is None and self.status is not None:
            if self.status >= 400:  # noqa: PLR2004
                error = error_message(value, self.status, self.content_type)
            else:
                error = find_failure(value, self.status, self.content_type)
                if self._is_event_stream() and not isinstance(value, (dict, list)):
                    error = error or _ENDED_EARLY
        return value, error, not cut

    def _value_of(self, body: bytes, content_type: str, sent: dict[str, SentJson]) -> Any:
        if not _looks_like_json(body) and is_binary(body, content_type):
            return describe_binary(body, content_type, with_base64=self.keeps_binary)
        value, is_strict = _read_json(body, content_type)
        if is_strict:
            sent["respPayload"] = SentJson(body)
        return value

    def _is_event_stream(self) -> bool:
        return self.content_type.lower().lstrip().startswith("text/event-stream")

    def _choices_asked_for(self) -> int | None:
        if b'"n"' not in (self.request or b""):
            return None
        payload = decode_body(self.request or b"")
        n = payload.get("n") if isinstance(payload, dict) else None
        return n if isinstance(n, int) else None


def _read_json(body: bytes, content_type: str = "") -> tuple[Any, bool]:
    """Return a body as JSON or else as text, and whether it is strict JSON."""
    try:
        return read_strictly(body), True
    except ValueError:
        return decode_body(body, content_type), False


def _looks_like_json(body: bytes) -> bool:
    return body.lstrip()[:1] in {b"{", b"["}
