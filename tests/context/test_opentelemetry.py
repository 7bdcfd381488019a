"""Trace ids: ours, and OpenTelemetry's where one of its spans is active."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN, use_span
from support.shapes import chat_completion

from openpipe_report import span

CHAT = {"model": "m", "messages": []}
TRACER = TracerProvider().get_tracer("test")


def ids_of(span_):
    context = span_.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def place_of(report):
    return report.tags["$trace_id"], report.tags.get("$parent_span_id")


def test_call_in_a_foreign_span(caller, scripted, reports):
    """A call in an OpenTelemetry span is its child."""
    scripted.json(chat_completion())
    with TRACER.start_as_current_span("theirs") as theirs:
        caller("chat.completions.create", **CHAT)
    assert place_of(reports[0]) == ids_of(theirs)
    assert "metadata" not in scripted.requests[0].json()


def test_nesting(caller, scripted, reports):
    """The innermost span is the parent, whose ever it is; all are of one trace."""
    for _ in range(3):
        scripted.json(chat_completion())
    with TRACER.start_as_current_span("A") as a, span("B") as b:
        caller("chat.completions.create", **CHAT)
        with TRACER.start_as_current_span("C") as c:
            caller("chat.completions.create", **CHAT)
            with span("D") as d:
                caller("chat.completions.create", **CHAT)
    trace_id, _ = ids_of(a)
    parents = [b.span_id, ids_of(c)[1], d.span_id, ids_of(c)[1], ids_of(a)[1]]
    assert [place_of(report) for report in reports] == [(trace_id, parent) for parent in parents]


@pytest.mark.parametrize("current", [None, INVALID_SPAN], ids=["ended", "invalid"])
def test_without_an_active_span(caller, scripted, reports, current):
    """Without an active one nothing is added."""
    scripted.json(chat_completion())
    with TRACER.start_as_current_span("theirs"):
        pass
    with nullcontext() if current is None else use_span(current):
        caller("chat.completions.create", **CHAT)
    assert "metadata" not in reports[0].reqPayload


def test_nothing_is_imported():
    """Without OpenTelemetry loaded, nothing loads it."""
    script = """
import sys
from openpipe_report import span
from openpipe_report.testing import captured_reports
with captured_reports() as reports, span("work"):
    pass
assert len(reports[0].tags["$trace_id"]) == 32
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_broken_opentelemetry(caller, scripted, reports, monkeypatch):
    """An implementation that raises does not cost the report."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", object())
    scripted.json(chat_completion())
    with span("ours") as ours:
        caller("chat.completions.create", **CHAT)
    assert place_of(reports[0]) == (ours.trace_id, ours.span_id)
