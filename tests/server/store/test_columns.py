"""The columns and labels that are derived from a report."""

from __future__ import annotations

import pytest
from dirty_equals import IsNow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GIVEN = {"id", "stored_at", "at", "idempotency_key", "metadata", "report"}


def derived(row):
    """The derived columns that are not null."""
    columns = row.to_dict().items()
    return {name: value for name, value in columns if name not in GIVEN and value is not None}


CHAT = {
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "total_tokens": 46,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
RESPONSES = {
    "input_tokens": 1,
    "output_tokens": 2,
    "total_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 2},
}
ANTHROPIC = {
    "input_tokens": 10,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 1_000,
    "output_tokens": 5,
}


@pytest.mark.parametrize(
    "report, expected",
    [
        pytest.param({}, {}, id="empty"),
        pytest.param(
            {"requestedAt": 1_700_000_000_000, "receivedAt": 1_700_000_000_250.5},
            {"requested_at": 1_700_000_000_000.0, "duration_ms": 250.5},
            id="times",
        ),
        pytest.param({"requestedAt": 5, "receivedAt": 10**400}, {"requested_at": 5.0}, id="huge"),
        pytest.param(
            {"requestedAt": -1e308, "receivedAt": 1.7e308}, {"requested_at": -1e308}, id="far apart"
        ),
        pytest.param(
            {"tags": {"$time_to_first_byte_ms": 12.5}}, {"first_byte_ms": 12.5}, id="first byte"
        ),
        pytest.param({"statusCode": 200.0}, {"status": 200}, id="whole float"),
        pytest.param({"statusCode": 200.5}, {}, id="fraction"),
        pytest.param({"statusCode": 2**63}, {}, id="more than 64 bits"),
        pytest.param({"statusCode": 404}, {"status": 404, "failed": True}, id="failed status"),
        pytest.param(
            {"errorMessage": "x" * 5_000}, {"error": "x" * 1_000, "failed": True}, id="long error"
        ),
        pytest.param(
            {"errorMessage": "\ud800\0"}, {"error": "\\ud800\\x00", "failed": True}, id="odd text"
        ),
        pytest.param({"tags": {"$endpoint": 5}}, {}, id="endpoint is a number"),
        pytest.param(
            {"reqPayload": {"model": "asked"}, "respPayload": {"model": "answered"}},
            {"request_model": "asked", "response_model": "answered", "streamed": False},
            id="models apart",
        ),
        pytest.param({"reqPayload": {"stream": True}}, {"streamed": True}, id="streamed"),
        pytest.param({"reqPayload": "text", "respPayload": [1]}, {}, id="payloads are no objects"),
        pytest.param(
            {"respPayload": {"usage": CHAT}},
            {
                "prompt_tokens": 12,
                "completion_tokens": 34,
                "total_tokens": 46,
                "cached_tokens": 8,
                "reasoning_tokens": 20,
            },
            id="usage of chat",
        ),
        pytest.param(
            {"respPayload": {"usage": RESPONSES}},
            {
                "prompt_tokens": 1,
                "completion_tokens": 2,
                "total_tokens": 3,
                "cached_tokens": 0,
                "reasoning_tokens": 2,
            },
            id="usage of responses",
        ),
        pytest.param(
            {"respPayload": {"usage": ANTHROPIC}},
            {
                "prompt_tokens": 1_110,
                "completion_tokens": 5,
                "total_tokens": 1_115,
                "cached_tokens": 100,
                "cache_write_tokens": 1_000,
            },
            id="usage of Anthropic, whose input leaves out the cache",
        ),
        pytest.param(
            {"respPayload": {"usage": {"prompt_tokens": "1", "input_tokens": True}}},
            {},
            id="usage of odd types",
        ),
        pytest.param(
            {"respPayload": {"id": "chatcmpl-1", "choices": [{"finish_reason": "length"}]}},
            {"completion_id": "chatcmpl-1", "finish_reason": "length"},
            id="finish reason of chat",
        ),
        pytest.param(
            {"respPayload": {"object": "response", "status": "completed"}},
            {"endpoint": "responses", "finish_reason": "completed"},
            id="finish reason of responses",
        ),
        pytest.param(
            {"respPayload": {"object": "response", "incomplete_details": {"reason": "cut"}}},
            {"endpoint": "responses", "finish_reason": "cut"},
            id="incomplete response",
        ),
        pytest.param(
            {
                "tags": {
                    "$endpoint": "span",
                    "$trace_id": "t",
                    "$span_id": "s",
                    "$parent_span_id": "p",
                },
                "reqPayload": {"name": "rerank", "input": None},
            },
            {
                "endpoint": "span",
                "span_name": "rerank",
                "trace_id": "t",
                "span_id": "s",
                "parent_span_id": "p",
            },
            id="span",
        ),
    ],
)
def test_derives_columns(newest, report, expected):
    """A column is null if its value cannot be derived, and the report is kept as it came."""
    row = newest(report)
    defaults = {"failed": False, "project": "default"}
    assert derived(row) == {**defaults, **expected}


@pytest.mark.parametrize(
    "report, endpoint",
    [
        pytest.param({"tags": {"$endpoint": "/e"}, "reqPayload": {"messages": []}}, "/e", id="tag"),
        pytest.param({"respPayload": {"object": "chat.completion"}}, "chat/completions", id="chat"),
        pytest.param({"reqPayload": {"messages": []}}, "chat/completions", id="chat that failed"),
        pytest.param({"respPayload": {"object": "text_completion"}}, "completions", id="legacy"),
        pytest.param({"reqPayload": {"model": "m", "prompt": "p"}}, "completions", id="prompt"),
        pytest.param({"respPayload": {"object": "response"}}, "responses", id="responses"),
        pytest.param({"reqPayload": {"model": "m", "input": "i"}}, "responses", id="input"),
        pytest.param(
            {"reqPayload": {"model": "text-embedding-3-small", "input": "i"}},
            "embeddings",
            id="model of embeddings",
        ),
        pytest.param(
            {"respPayload": {"object": "list", "data": [{"object": "embedding"}]}},
            "embeddings",
            id="embeddings",
        ),
        pytest.param(
            {"respPayload": {"type": "message", "content": []}}, "messages", id="Anthropic"
        ),
        pytest.param(
            {"reqPayload": {"messages": [], "system": "s"}}, "messages", id="Anthropic that failed"
        ),
        pytest.param({"respPayload": {"results": [{"flagged": True}]}}, "moderations", id="flags"),
        pytest.param(
            {"respPayload": {"data": [{"b64_json": ""}]}}, "images/generations", id="image"
        ),
        pytest.param({"reqPayload": {"question": "?"}}, None, id="anything else"),
    ],
)
def test_tells_endpoint(newest, report, endpoint):
    """The tag names the endpoint; without one, the shape of the payloads does."""
    assert newest(report).endpoint == endpoint


@pytest.mark.parametrize("time", [None, -1, 1e300, 10**15])
def test_order_time(newest, time):
    """Where a report has no time, or one that cannot be, its time of arrival stands for it."""
    row = newest({} if time is None else {"requestedAt": time})
    assert row.at == int(row.stored_at)
    assert row.stored_at / 1_000 == IsNow(unix_number=True, delta=60)


@pytest.mark.parametrize(
    "report, labels",
    [
        pytest.param(
            {"tags": {"$sdk": "s", "a": 1, "b": 2}, "reqPayload": {"metadata": {"b": "\u00e9"}}},
            {"a": 1, "b": "\u00e9"},
            id="metadata over own tags",
        ),
        pytest.param({"tags": {"a": 1.5, "b": True, "c": None}}, {"a": 1.5, "b": True}, id="types"),
        pytest.param({"reqPayload": {"metadata": {"a": {"b": [1]}}}}, {"a": {"b": [1]}}, id="deep"),
        pytest.param({"reqPayload": {"metadata": [1]}}, {}, id="metadata is an array"),
        pytest.param({"tags": {"a\0": "\ud800"}}, {"a\\x00": "\\ud800"}, id="odd characters"),
        pytest.param({"tags": {"a": "x" * 2_000}}, {"a": "x" * 1_000}, id="long"),
    ],
)
def test_labels(newest, report, labels):
    """Labels are the tags without `$`, overridden by the request's metadata, with their types."""
    assert newest(report).metadata == labels


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "model", "messages", "content", "choices", "id", "arguments"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=JSON, answered=JSON)
def test_takes_any_payload(store, asked, answered):
    """A report is stored, listed and given back whatever its payloads are."""
    report = {"reqPayload": asked, "respPayload": answered}
    store.add(report).result()
    [row] = store.recent(1)
    assert store.report(row.id) == report
