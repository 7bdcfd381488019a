"""
Building and encoding a report: sampling, `before_report`, the size limit.
"""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from openpipe_report._log import log_internal_error
from openpipe_report._report.hook import call_hook
from openpipe_report._report.json_codec import encode_json, sanitize, within_stack
from openpipe_report._report.json_pieces import (
    SMALL,
    OverLimitError,
    encode_in_pieces,
    is_small,
)
from openpipe_report._report.sampling import failed_traces, is_sampled
from openpipe_report._report.sent_json import SentJson, join_sent
from openpipe_report._report.size_limit import cut_to_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report._report.model import Report, ReportSource
    from openpipe_report._settings import Settings

_NOTHING: Mapping[str, SentJson] = MappingProxyType({})


def encode_report(source: ReportSource, settings: Settings) -> bytes | str:
    """Return the report's JSON, or the reason of its loss; empty if it is not to be sent."""
    trace_id = source.trace_id
    at_once = source.size <= SMALL and settings.before_report is None
    sampled = is_sampled(trace_id, settings.sample_rate)
    sent: dict[str, SentJson] = {}
    try:
        if not sampled and source.discard_if_succeeded():
            return ""
        report = source.build(sent)
    except Exception:  # noqa: BLE001 - counted under its reason
        log_internal_error("building a report")
        return "could not be built"
    if report is None:
        return ""
    failed = report.errorMessage is not None or (report.statusCode or 200) >= 400  # noqa: PLR2004
    if failed and trace_id is not None:
        failed_traces.add(trace_id)
    if not (failed or sampled):
        return ""
    if settings.metadata:
        report = _with_labels(report, settings.metadata, sent)
    if settings.before_report is not None:
        sent.clear()  # the hook may change the payloads
        left = call_hook(settings.before_report, report)
        if isinstance(left, str):
            return left
        report = left
    if sent and not at_once:
        # Memory that is freed before the next is taken costs no page faults, which for large
        # payloads take longer than all the rest.
        report = report.model_copy(update=dict.fromkeys(sent))
    try:
        return fit(report, settings.max_report_bytes, sent, at_once=at_once) or "too large"
    except Exception:  # noqa: BLE001 - counted under its reason
        log_internal_error("encoding a report")
        return "could not be encoded"


def _with_labels(report: Report, labels: Mapping[str, Any], sent: dict[str, SentJson]) -> Report:
    """Add static labels; the report's own labels take precedence."""
    payload = report.reqPayload
    own = payload.get("metadata") if isinstance(payload, dict) else 0
    if own is not None and not isinstance(own, dict):
        return report
    merged = {**labels, **(own or {})}
    as_sent = sent.pop("reqPayload", None)
    if as_sent is not None and (as_sent.metadata or "metadata" not in payload):
        sent["reqPayload"] = SentJson(as_sent.body, merged)
    return report.model_copy(update={"reqPayload": {**payload, "metadata": merged}})


def fit(
    report: Report,
    limit: int,
    sent: Mapping[str, SentJson] = _NOTHING,
    *,
    at_once: bool = False,
) -> bytes | None:
    """
    Encode a report; if it has more than `limit` bytes, cut and mark its largest values.

    Args:
        report: The report.
        limit: Bytes.
        sent: Payloads that can stand in it as they crossed the wire; `report` need not have them.
        at_once: Whether the report is known to be small, so that it need not be weighed.

    Returns:
        The JSON, or None if the report is still too large.
    """
    wire = report.to_wire()
    if sent:
        with suppress(OverLimitError):
            if (joined := join_sent(wire, sent, limit)) is not None:
                return joined
        wire |= {name: payload.read() for name, payload in sent.items()}
    if at_once or is_small(wire):
        with suppress(OverLimitError):
            return encode_json(wire, limit, at_once=True)

    def encode_levels(depth: int) -> bytes:
        tree = sanitize(wire, depth)
        with suppress(OverLimitError):
            return encode_in_pieces(tree, limit)
        return encode_in_pieces(cut_to_limit(tree, limit), limit)

    try:
        return within_stack(encode_levels)
    except OverLimitError:
        return None
