"""Reports of Anthropic's messages, in process through ASGI."""

from __future__ import annotations

import json

import httpx
import pytest
from dirty_equals import IsStr

from openpipe_report.server.app import create_app
from openpipe_report.server.limits import Limits
from openpipe_report.server.store import Filter, Store

PATH = "/api/v1/report-anthropic"
JSON = {"Content-Type": "application/json"}
REQUEST = {
    "model": "claude-3-opus-20240229",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello, Claude"}],
    "metadata": {"user_id": "u-1"},
}
RESPONSE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-opus-20240229",
    "content": [{"type": "text", "text": "Good morning"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


async def post(store, report, headers=None, **limits):
    app = create_app(store, limits=Limits(**limits))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        content = json.dumps(report)
        answer = await http.post(PATH, content=content, headers={**JSON, **(headers or {})})
    app.close()
    assert app.traffic.received == (1 if answer.status_code == 200 else 0)
    return answer


async def test_whole_report(store):
    """The call is a report of the endpoint `messages`, with its tokens, labels and text."""
    times = {"requestedAt": 1_000, "receivedAt": 1_250.5, "statusCode": 200}
    payloads = {"reqPayload": REQUEST, "respPayload": RESPONSE}
    report = {**times, **payloads, "tags": {"a": 1, "b": 2}, "metadata": {"b": "3", "c": True}}
    answer = await post(store, report)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    row = store.queries.get_report("msg_1")
    assert (row.endpoint, row.model, row.duration_ms) == ("messages", REQUEST["model"], 250.5)
    assert (row.prompt_tokens, row.completion_tokens, row.finish_reason) == (10, 5, "end_turn")
    assert row.cost > 0
    assert row.metadata == {"a": 1, "b": "3", "c": True, "user_id": "u-1"}
    tags = {"$endpoint": "messages", "a": 1, "b": "3", "c": True}
    assert row.report == {**times, **payloads, "tags": tags}
    store.close()  # completes the index
    with Store(store.name, read_only=True) as closed:
        assert closed.queries.count(Filter(text="hello claude morning")) == 1


@pytest.mark.parametrize(
    "report, endpoint",
    [
        pytest.param({}, "messages", id="empty"),
        pytest.param({"respPayload": {"error": {}}, "errorMessage": "x"}, "messages", id="failed"),
        pytest.param({"reqPayload": None, "respPayload": None}, "messages", id="null payloads"),
        pytest.param({"metadata": {}, "tags": {}}, "messages", id="no labels"),
        pytest.param({"tags": {"$endpoint": "messages/batches"}}, "messages/batches", id="named"),
    ],
)
async def test_endpoint(store, report, endpoint):
    """Every such report is one of `messages`, unless its tags name another endpoint."""
    assert (await post(store, report)).status_code == 200
    assert store.queries.get_report(1).endpoint == endpoint


@pytest.mark.parametrize(
    "report, issues",
    [
        pytest.param({"metadata": []}, ["metadata: must be an object"], id="array"),
        pytest.param(
            {"metadata": None}, ["metadata: must not be null; leave the field out"], id="null"
        ),
        pytest.param(
            {"metadata": {"a": {}}, "tags": {"b": []}, "statusCode": "200"},
            [
                "metadata.a: must be a string, a finite number, a boolean or null",
                "statusCode: must be a finite number",
                "tags.b: must be a string, a finite number, a boolean or null",
            ],
            id="values",
        ),
        pytest.param(
            {"secret": 1},
            [IsStr(regex="secret: unknown field; the report has requestedAt, .*, metadata")],
            id="unknown field",
        ),
    ],
)
async def test_refuses(store, report, issues):
    """A wrong report is answered 400 with each wrong field, and not stored."""
    answer = await post(store, report)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert [one["message"] for one in answer.json()["issues"]] == issues
    assert store.count() == 0


async def test_idempotency_key(store):
    """The same report with the same Idempotency-Key is stored once, another is refused."""
    key = {"Idempotency-Key": "k"}
    for report, status in [({}, 200), ({}, 200), ({"statusCode": 1}, 409)]:
        assert (await post(store, report, key)).status_code == status
    assert store.count() == 1


async def test_large_body(store):
    """A large body is parsed in another process, with the same result."""
    report = {"reqPayload": {**REQUEST, "system": "x" * 1_000}, "metadata": {"a": "b"}}
    assert (await post(store, report, large_body_bytes=100)).status_code == 200
    assert store.queries.get_report(1).metadata == {"a": "b", "user_id": "u-1"}
