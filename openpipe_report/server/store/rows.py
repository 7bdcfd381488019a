"""StoredReport: one report as lists show it; Page: some of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class StoredReport:
    """One stored report. A column is None if the report has no usable value for it."""

    id: int
    """Number in order of arrival, from 1; it is never reused."""
    project: str
    """The project that it belongs to."""
    stored_at: float
    """When the receiver got the report: Unix time in milliseconds, by the receiver's clock."""
    at: int
    """The time that filters and statistics go by: `requested_at`, or else `stored_at`; in ms."""
    idempotency_key: str | None
    """The header `Idempotency-Key`; None if the request had none."""
    requested_at: float | None
    """`requestedAt`: Unix time in milliseconds."""
    duration_ms: float | None
    """`receivedAt` minus `requestedAt`, in milliseconds."""
    first_byte_ms: float | None
    """Time to the first byte of the answer (tag `$time_to_first_byte_ms`), in milliseconds."""
    endpoint: str | None
    """The tag `$endpoint`, or else the endpoint that has payloads of this shape."""
    request_model: str | None
    """The model that was asked for."""
    response_model: str | None
    """The model that answered."""
    completion_id: str | None
    """The `id` of the answer."""
    status: int | None
    """`statusCode`."""
    failed: bool
    """Whether there is an error message, or a status of 400 or more."""
    error: str | None
    """The first 1,000 characters of `errorMessage`."""
    finish_reason: str | None
    """Why the answer ended, of the first choice."""
    streamed: bool | None
    """Whether the request asked for a stream."""
    span_name: str | None
    """The name of a span; None for a call."""
    trace_id: str | None
    span_id: str | None
    parent_span_id: str | None
    prompt_tokens: int | None
    """Tokens of the prompt, those that a cache has read or taken included."""
    completion_tokens: int | None
    """Tokens of the answer, those of its reasoning included."""
    total_tokens: int | None
    cached_tokens: int | None
    """Tokens of the prompt that a cache has read."""
    cache_write_tokens: int | None
    """Tokens of the prompt that a cache has taken."""
    reasoning_tokens: int | None
    service_tier: str | None
    """The service tier that the answer names."""
    cost: float | None
    """US dollars; None if the model or its tokens are unknown."""
    price_date: str | None
    """The day of the price that was applied, as `YYYY-MM-DD`."""
    price_source: str | None
    """Where that price is from: `genai-prices` with its version, or the file of own prices."""
    metadata: dict[str, Any]
    """The labels by name."""
    report: dict[str, Any] | None = None
    """The report as it was posted, if payloads were asked for."""

    @property
    def model(self) -> str | None:
        """The model that answered, or else the one that was asked for."""
        return self.response_model or self.request_model

    def to_dict(self) -> dict[str, Any]:
        """Return all columns and labels by name; `report` only if payloads were asked for."""
        names = _NAMES if self.report is None else (*_NAMES, "report")
        return {name: getattr(self, name) for name in names}


_NAMES = tuple(one.name for one in fields(StoredReport) if one.name != "report")


class Page(NamedTuple):
    """Some reports of a list, the newest first."""

    rows: list[StoredReport]
    next_cursor: str | None
    """`after` of the next page; None if this is the last."""

    def cut(self, count: int) -> Page:
        """Return the first `count` reports, at least one, as a page of its own."""
        if count >= len(self.rows):
            return self
        return Page(self.rows[:count], str(self.rows[count - 1].id))
