"""Large reports: encoded in pieces, weighed once, cut in one pass."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpipe_report import Report
from openpipe_report._report import json_codec
from openpipe_report._report.encode import fit
from openpipe_report._report.json_codec import OverLimitError, Snapshot, copy_json, encode_json
from openpipe_report.server.validation import parse_report


@dataclasses.dataclass
class Row:
    n: int
    text: str = "t" * 50


class Color(enum.Enum):
    RED = "red" * 9


VECTORS = [[0.0123456789 * (i % 97) + k for i in range(300)] for k in range(100)]
LARGE = {
    "vectors": VECTORS,
    "messages": [{"role": "user", "content": "hello \n" * 20, "n": i} for i in range(2000)],
    "text": {"a": "é\U0001f600\n" * 40_000},
    "lone surrogates": ["\ude00" * 70_001, "\ud83d" * 70_001],
    "members": {str(i): [i, {"a": None, "b": True}] for i in range(9000)},
    "odd members": {i if i % 2 else (i, None): i for i in range(20_000)},
    "mixed": [1, "x" * 90_000, None, VECTORS, {"a": VECTORS, "b": 2}, [], {}, ()],
    "objects": [Row(n) for n in range(3000)],
    "one object": Row(1, "x" * 99_999),
    "not numbers": [math.nan, math.inf, 10**5000, *range(20_000)],
    "other containers": collections.OrderedDict(a=collections.deque(range(30_000)), b=Color.RED),
    "sets": [set(range(30_000)), frozenset(range(30_000))],
    "tuples": ((1, 2, (3,)),) * 9000,
    "empty": [[] for _ in range(20_000)],
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_pieces_are_the_whole(value, monkeypatch):
    """Encoded in pieces, a large value is what it is at once; a copy of it is what is read."""
    in_pieces = encode_json(value)
    at_once = encode_json(value, is_small=True)
    assert in_pieces == at_once
    assert copy_json(value)[0] == Snapshot(value).read() == json_codec.parse_json(at_once)


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_pieces_are_small(value):
    """No piece takes so long that other threads notice."""
    encoder = json_codec._PieceEncoder(None)
    encoder.encode(value)
    assert max(map(len, encoder._pieces)) < 800_000


def test_encoding_stops_at_the_limit():
    """What is over the limit is not encoded to its end."""
    with pytest.raises(OverLimitError):
        encode_json(VECTORS, 1000)
    encoder = json_codec._PieceEncoder(100_000)
    with pytest.raises(OverLimitError):
        encoder.encode(VECTORS)
    assert sum(map(len, encoder._pieces)) < 200_000


def test_circles_in_large_values():
    """A large value inside of itself is named."""
    value = [list(range(50_000))]
    value.append({"again": value})
    assert json.loads(encode_json(value))[1] == {"again": "<circular>"}
    assert Snapshot(value).read()[1] == {"again": "<circular>"}


def test_deep_and_large():
    """Depth is counted through the pieces as it is at once."""
    value = "x" * 100_000
    for _ in range(700):
        value = [value]
    found = parse_report(Report(reqPayload=value).to_json())
    assert "nested deeper than 500" in repr(found)
    inner = "x" * 100_000
    for _ in range(499):
        inner = [inner]
    assert parse_report(Report(reqPayload=inner).to_json()) == {"reqPayload": inner}


@pytest.mark.parametrize("limit", [1024, 20_000])
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_everything_can_be_cut(value, limit):
    """A report over the limit is kept, whatever makes it large; it fills most of the limit."""
    report = Report(reqPayload={"model": "m", "input": value}, statusCode=200, tags={"a": 1})
    body = fit(report, limit)
    assert limit * 0.3 < len(body) <= limit
    found = parse_report(body)
    assert found["reqPayload"]["model"] == "m"
    assert (found["statusCode"], found["tags"]) == (200, {"a": 1})
    assert b"[cut: " in body


def test_cut_in_every_field():
    """Tags and the error's message are cut as payloads are; small ones beside them stay."""
    tags = {"long": "t" * 9000, "short": "s", "n": 1}
    body = fit(Report(errorMessage="e" * 9000, tags=tags, reqPayload={"a": 1}), 2048)
    found = parse_report(body)
    assert found["reqPayload"] == {"a": 1}
    assert (found["tags"]["short"], found["tags"]["n"]) == ("s", 1)
    assert found["tags"]["long"].endswith("of 9000 characters]")
    assert found["errorMessage"].endswith("of 9000 characters]")


def test_lists_and_members_that_are_left_out():
    """Where all are small, the first ones are kept, and how many there were is said."""
    found = json.loads(fit(Report(reqPayload=list(range(10_000))), 2048))["reqPayload"]
    kept = len(found) - 1
    assert found == [*range(kept), f"... [cut: {kept} of 10000 items]"]
    members = {f"k{i}": i for i in range(10_000)}
    found = json.loads(fit(Report(reqPayload=members), 2048))["reqPayload"]
    assert found.pop("...") == f"[cut: {len(found)} of 10000 members]"
    assert found.items() <= members.items()
    assert len(found) > 50


def test_deep_and_over_the_limit():
    """What is too large and nested to the limit of depth is kept."""
    value = "x" * 100_000
    for _ in range(498):
        value = [value]
    body = fit(Report(reqPayload=value), 20_000)
    assert len(body) <= 20_000
    parse_report(body)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=60,
)


@settings(deadline=None)
@given(VALUES, VALUES, st.integers(1024, 4096))
def test_nothing_is_too_large(request_payload, answer, limit):
    """Any report fits into any limit, and is a report."""
    report = Report(reqPayload=[request_payload] * 9, respPayload={"a": answer}, requestedAt=1)
    body = fit(report, limit)
    assert len(body) <= limit
    assert parse_report(body)["requestedAt"] == 1
    if len(report.to_json()) <= limit:
        assert body == report.to_json()


def test_cost_is_in_proportion_to_the_size():
    """Twice the report takes about twice the time, weighing and cutting included."""

    def seconds(rows):
        report = Report(reqPayload=[["x" * 90, 0.5, {"a": i}] for i in range(rows)])
        began = time.thread_time()
        assert fit(report, 5000) is not None
        return time.thread_time() - began

    small = min(seconds(10_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 8 * small
