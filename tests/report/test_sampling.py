"""A trace is sent whole or not at all; failures are always sent, and keep their trace."""

from __future__ import annotations

import json
import os
from collections import defaultdict

import openai
import pytest
from support.backend import HANG_GUARD, Backend
from support.shapes import api_error, chat_chunks, chat_completion, response

from openpipe_report import Reporter, span
from openpipe_report._report.recent_ids import RecentIds
from openpipe_report._report.sampling import contains_no_error, is_sampled

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def backend():
    with Backend() as server:
        yield server


def traces_of(backend):
    found = defaultdict(list)
    for post in backend.posts:
        payload = post.report["reqPayload"]
        found[post.report["tags"]["$trace_id"]].append(payload.get("name", "call"))
    return found


def test_whole_or_absent(make_caller, scripted, backend):
    """Calls and spans of a trace share one decision."""
    reporter = Reporter(base_url=backend.base_url, sample_rate=0.5)
    caller = make_caller(reporter=reporter)
    for number in range(60):
        scripted.json(chat_completion()) if number % 2 else scripted.stream(
            chat_chunks("Hello there")
        )
        with span("question", reporter=reporter):
            with span("retrieve"):
                pass
            with span("answer"):
                done = caller("chat.completions.create", **CHAT, stream=not number % 2)
                if not number % 2:
                    caller.iterate(done)
    assert reporter.flush(HANG_GUARD)
    traces = traces_of(backend)
    assert 10 < len(traces) < 50
    assert all(sorted(t) == ["answer", "call", "question", "retrieve"] for t in traces.values())
    stats = reporter.stats()
    assert (stats.delivered, stats.sampled_out) == (4 * len(traces), 4 * (60 - len(traces)))
    reporter.shutdown(0)


def test_a_failure_keeps_its_trace(make_caller, scripted, backend):
    """The call that failed, and what ends after it; another trace is left out."""
    reporter = Reporter(base_url=backend.base_url, sample_rate=0)
    caller = make_caller(reporter=reporter)
    for is_bad in (True, False):
        with span("outer", reporter=reporter), span("inner"):
            if is_bad:
                scripted.json(api_error("bad"), 400)
                with pytest.raises(openai.BadRequestError):
                    caller("chat.completions.create", **CHAT)
                assert reporter.flush(HANG_GUARD)
            else:
                scripted.json(chat_completion())
                caller("chat.completions.create", **CHAT)
    assert reporter.flush(HANG_GUARD)
    assert [sorted(names) for names in traces_of(backend).values()] == [["call", "inner", "outer"]]
    reporter.shutdown(0)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded"}},
        {**response(), "status": "failed", "error": {"code": "server_error", "message": "no"}},
        {**response(), "status": "incomplete", "error": {"message": "no"}},
    ],
    ids=["gateway", "failed", "incomplete"],
)
def test_failure_in_a_200(body):
    """A failure that is told in the body of a 200 is seen without decoding it."""
    assert not contains_no_error(json.dumps(body).encode(), is_stream=False)
    assert not contains_no_error(json.dumps(body, indent=2).encode(), is_stream=False)


@pytest.mark.parametrize(
    "body, is_stream, expected",
    [
        (b'{"error": null, "status": "completed"}', False, True),
        (b'{"error":null}', False, True),
        (b'{"content": "say \\"error\\": 1 and \\"status\\": \\"failed\\""}', False, True),
        (b'data: {"a": 1}\n\ndata: [DONE]\n\n', True, True),
        (b'data: {"a": 1}\n\n', True, False),
        (b'data: {"error": {"message": "x"}}\n\ndata: [DONE]\n\n', True, False),
        (b"event: error\ndata: {}\n\ndata: [DONE]\n\n", True, False),
        (b'error: {"code": 500}\n\ndata: [DONE]\n\n', True, False),
        (b'data: {"type":"response.completed"}\n\n', True, True),
    ],
)
def test_signs(body, is_stream, expected):
    """Null is no failure, nor is a text about one; a stream without its end has to be read."""
    assert contains_no_error(body, is_stream=is_stream) is expected


def test_share():
    """The share of the traces that are sent is the rate."""
    ids = [os.urandom(16).hex() for _ in range(20_000)]
    for rate in (0.0, 0.1, 0.5, 1.0):
        share = sum(is_sampled(each, rate) for each in ids) / len(ids)
        assert abs(share - rate) < 0.02
        assert sum(is_sampled(None, rate) for _ in ids) / len(ids) == pytest.approx(rate, abs=0.02)


def test_failed_traces_are_bounded():
    """Only the newest are remembered."""
    failed = RecentIds(3)
    for number in range(10):
        failed.add(str(number))
    assert [number for number in range(10) if str(number) in failed] == [7, 8, 9]
