"""
Derives the columns of a report, whose payloads may be any JSON.

A column is null where the report has no usable value for it. Nothing raises, because a report is
never refused for the content of its payloads.
"""

from __future__ import annotations

import math
from typing import Any

from openpipe_report._report.json_values import get_integer, get_list, get_object, get_real
from openpipe_report.server.store.endpoints import find_endpoint
from openpipe_report.server.store.values import get_class, get_text

MAX_ERROR = 1_000
"""Characters of an error message that the column `error` keeps; the report has the rest."""
FIRST_ERROR = 400
"""The lowest status of a failed call."""

_DAY_MS = 86_400_000


def derive_columns(report: dict[str, Any], stored_at: float) -> dict[str, Any]:
    """
    Derive the columns of `StoredReport` from a valid report, except id, key and cost.

    Args:
        report: The report as parsed JSON, with the API's names.
        stored_at: When it came: Unix time in milliseconds.

    Returns:
        The value of each derived column by its name.

    """
    tags = get_object(report.get("tags"))
    request = get_object(report.get("reqPayload"))
    response = get_object(report.get("respPayload"))
    requested, received = get_real(report.get("requestedAt")), get_real(report.get("receivedAt"))
    endpoint = find_endpoint(tags, request, response)
    duration = _difference(received, requested)
    status, error = get_integer(report.get("statusCode")), report.get("errorMessage")
    return {
        "at": _order_time(requested, stored_at),
        "requested_at": requested,
        "duration_ms": duration,
        "duration_class": get_class(duration),
        "first_byte_ms": get_real(tags.get("$time_to_first_byte_ms")),
        "endpoint": endpoint,
        "request_model": get_text(request.get("model")),
        "response_model": get_text(response.get("model")),
        "completion_id": get_text(response.get("id")),
        "status": status,
        "failed": error is not None or (status or 0) >= FIRST_ERROR,
        "error": get_text(error, MAX_ERROR),
        "finish_reason": _finish_reason(response),
        "streamed": request.get("stream") is True if request and endpoint != "span" else None,
        "span_name": get_text(request.get("name")) if endpoint == "span" else None,
        "trace_id": get_text(tags.get("$trace_id")),
        "span_id": get_text(tags.get("$span_id")),
        "parent_span_id": get_text(tags.get("$parent_span_id")),
        "service_tier": get_text(response.get("service_tier")),
        **_tokens(get_object(response.get("usage"))),
    }


def _order_time(requested: float | None, stored_at: float) -> int:
    # A client's clock may be wrong: a time that has not come yet must not lead every list.
    if requested is None or not 0 <= requested <= stored_at + _DAY_MS:
        return int(stored_at)
    return int(requested)


def _difference(later: float | None, earlier: float | None) -> float | None:
    if later is None or earlier is None:
        return None
    difference = later - earlier
    return round(difference, 3) if math.isfinite(difference) else None


def _finish_reason(response: dict[str, Any]) -> str | None:
    choice = get_object(next(iter(get_list(response.get("choices"))), None))
    if "finish_reason" in choice:
        return get_text(choice["finish_reason"])
    if "stop_reason" in response:
        return get_text(response["stop_reason"])
    if response.get("object") != "response":
        return None
    incomplete = get_object(response.get("incomplete_details"))
    return get_text(incomplete.get("reason")) or get_text(response.get("status"))


def _tokens(usage: dict[str, Any]) -> dict[str, int | None]:
    of_prompt = get_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    of_answer = get_object(
        usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    )
    prompt = _first_integer(usage, "prompt_tokens", "input_tokens")
    answer = _first_integer(usage, "completion_tokens", "output_tokens")
    cached = get_integer(of_prompt.get("cached_tokens"))
    read = get_integer(usage.get("cache_read_input_tokens"))
    written = get_integer(usage.get("cache_creation_input_tokens"))
    if prompt is not None and "prompt_tokens" not in usage:
        # Anthropic's `input_tokens` leaves out what the cache has read or taken.
        prompt = _sum(prompt, read, written)
    total = get_integer(usage.get("total_tokens"))
    if total is None and prompt is not None and answer is not None:
        total = _sum(prompt, answer)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": total,
        "cached_tokens": read if cached is None else cached,
        "cache_write_tokens": written,
        "reasoning_tokens": get_integer(of_answer.get("reasoning_tokens")),
    }


def _sum(*counts: int | None) -> int | None:
    return get_integer(sum(count or 0 for count in counts))


def _first_integer(usage: dict[str, Any], *names: str) -> int | None:
    found = (get_integer(usage.get(name)) for name in names)
    return next((number for number in found if number is not None), None)
