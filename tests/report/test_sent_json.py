"""Payloads that stand in a report as they crossed the wire."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpipe_report import Settings
from openpipe_report._report.encode import encode_report
from openpipe_report._report.exchange import Exchange
from openpipe_report._report.json_codec import MAX_DEPTH, is_too_deep

REQUEST = b'{"model": "m",\n "temperature": 1.10, "user": "\xc3\xa9", "seed": 12345678901234567890}'
ANSWER = b'{"id":"c1", "object":"chat.completion","n":1E2,"text":"\\u00e9\\/"}'


class Source:
    """An exchange as the reporter gets it."""

    trace_id = None

    def __init__(self, request, answer=ANSWER, metadata=None):
        self._made = Exchange("chat.completions", "1", 1.0, metadata=metadata or {})
        self._made.request, self._made.content, self._made.status = request, answer, 200
        self.size = self._made.size

    def discard_if_succeeded(self):
        return False

    def build(self, sent):
        return self._made.build(sent)


def encode(source, **settings):
    return encode_report(source, Settings(base_url="http://x", **settings))


def test_payloads_stand_as_they_were():
    """Request and answer are in the report byte for byte."""
    body = encode(Source(REQUEST))
    assert REQUEST in body
    assert ANSWER in body
    assert json.loads(body)["reqPayload"]["user"] == "é"


@pytest.mark.parametrize(
    "request_, own, static, labels",
    [
        (b'{"model":"m"}', {"a": 1}, None, {"a": 1}),
        (b'{"model":"m"} ', {"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        (b"{}", {}, {"b": 3}, {"b": 3}),
        (b" { } ", {"a": "}"}, None, {"a": "}"}),
        (b'{"metadata":{"a":0}}', {}, None, {"a": 0}),
        (b'{"metadata":{"a":0}}', {"a": 1, "c": 2}, None, {"a": 0, "c": 2}),
        (b'{"metadata":{"a":0}}', {}, {"a": 1, "b": 3}, {"a": 0, "b": 3}),
        (b'{"metadata":null}', {"a": 1}, {"b": 3}, {"a": 1, "b": 3}),
        (b'{"metadata":null}', {}, {"b": 3}, {"b": 3}),
        (b'{"metadata":7}', {"a": 1}, {"b": 3}, 7),
    ],
)
def test_labels(request_, own, static, labels):
    """Labels are added to a request that has none, and merged under its own."""
    body = encode(Source(request_, metadata=own), metadata=static)
    assert json.loads(body)["reqPayload"]["metadata"] == labels
    assert body.count(b'"metadata"') == 1


@pytest.mark.parametrize("request_", [b'{"model":"m"}', b'{"model":"m","seed":1e400}'])
@pytest.mark.parametrize("levels", [MAX_DEPTH - 3, MAX_DEPTH - 2, MAX_DEPTH])
def test_deep_labels(request_, levels):
    """Labels never make a report deeper than the receiver takes, however a request is kept."""
    label = json.loads("[" * levels + "]" * levels)
    found = json.loads(encode(Source(request_, metadata={"a": label})))
    assert found["reqPayload"]["model"] == "m"
    assert not is_too_deep(found)
    assert (found["reqPayload"]["metadata"]["a"] == label) is (levels == MAX_DEPTH - 3)


@pytest.mark.parametrize(
    "answer, value",
    [
        (b"[1e400]", ["1e400"]),
        (b'{"a":NaN}', {"a": "NaN"}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ('{"a":1}'.encode("utf-16"), {"a": 1}),
        (b"[" * 300 + b"]" * 300, json.loads("[" * 300 + "]" * 300)),
        (b'{"a":1} x', '{"a":1} x'),
        (b'{"a":%s}' % (b"1" * 5000), {"a": "1" * 5000}),
    ],
    ids=["infinity", "NaN", "surrogate", "BOM", "UTF-16", "deep", "text", "huge integer"],
)
def test_not_strict(answer, value):
    """What is not strict JSON is written anew, so that no server refuses the report."""
    body = encode(Source(REQUEST, answer))
    assert json.loads(body)["respPayload"] == value


def test_hook_sees_and_changes_payloads():
    """A `before_report` gets values, and what it makes of them is sent."""

    def hide(report):
        report.reqPayload["model"] = "hidden"
        return report

    body = encode(Source(REQUEST), before_report=hide)
    assert json.loads(body)["reqPayload"]["model"] == "hidden"
    assert REQUEST not in body


def test_limit():
    """A report over the limit is cut, whatever its payloads were."""
    source = Source(b'{"a":"%s"}' % (b"x" * 5000))
    body = encode(source, max_report_bytes=2048)
    assert len(body) <= 2048
    assert json.loads(body)["respPayload"] == json.loads(ANSWER)


def test_one_copy_at_a_time():
    """What was decoded of a large payload is gone before the report is joined."""
    size = 2_000_000
    source = Source(json.dumps({"input": "x" * size}).encode())
    tracemalloc.start()
    try:
        body = encode(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) > size
    assert peak < 1.5 * size


def test_large_over_the_limit():
    """A large report over the limit is cut, and keeps its other values and its labels."""
    text = "x" * 100_000
    request = json.dumps({"model": "m", "input": text}).encode()
    body = encode(
        Source(request, json.dumps({"id": "c1", "text": text}).encode(), {"a": 1}),
        metadata={"b": 2},
        max_report_bytes=20_000,
    )
    found = json.loads(body)
    assert len(body) <= 20_000
    assert (found["reqPayload"]["model"], found["respPayload"]["id"]) == ("m", "c1")
    assert found["reqPayload"]["metadata"] == {"a": 1, "b": 2}
    assert "100000" in json.dumps(found["reqPayload"]["input"])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
OBJECTS = st.dictionaries(st.text() | st.just("metadata"), VALUES)
LABELS = st.dictionaries(st.text(), SCALARS, max_size=2)


@given(request_=OBJECTS, answer=VALUES, own=LABELS, escaped=st.booleans(), spaced=st.booleans())
def test_same_as_written_anew(request_, answer, own, escaped, spaced):
    """The report is the one that `before_report` would be shown."""
    indent = 1 if spaced else None

    def written(value):
        return json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8")

    as_sent = encode(Source(written(request_), written(answer), own))
    anew = encode(Source(written(request_), written(answer), own), before_report=lambda r: r)
    assert json.loads(as_sent, parse_constant=pytest.fail) == json.loads(anew)
