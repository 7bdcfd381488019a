"""Large reports: encoded in pieces, weighed once, cut in one pass."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import time

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpipe_report import Report, Reporter, span
from openpipe_report._report import json_pieces
from openpipe_report._report.encode import fit
from openpipe_report._report.json_codec import (
    Snapshot,
    copy_json,
    encode_json,
    parse_json,
    sanitize,
)
from openpipe_report._report.json_pieces import (
    OverLimitError,
    encode_at_once,
    encode_in_pieces,
    split_into_pieces,
)
from openpipe_report._report.size_limit import _cut_string
from openpipe_report.server.validation import parse_report
from openpipe_report.testing import captured_reports


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
def test_pieces_are_the_whole(value):
    """Encoded in pieces, a large value is what it is at once; a copy of it is what is read."""
    in_pieces = encode_json(value)
    at_once = encode_at_once(sanitize(value))
    assert in_pieces == at_once
    assert copy_json(value)[0] == Snapshot(value).read() == parse_json(at_once)


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_pieces_are_small(value):
    """No piece takes so long that other threads notice."""
    assert max(map(len, split_into_pieces(sanitize(value)))) < 800_000


def test_encoding_stops_at_the_limit(monkeypatch):
    """What is over the limit is not encoded to its end."""
    with pytest.raises(OverLimitError):
        encode_json(VECTORS, 1000)
    sizes = []

    def counted(value):
        encoded = encode_at_once(value)
        sizes.append(len(encoded))
        return encoded

    monkeypatch.setattr(json_pieces, "encode_at_once", counted)
    with pytest.raises(OverLimitError):
        encode_in_pieces(VECTORS, 100_000)
    assert 100_000 < sum(sizes) < 200_000


@pytest.mark.parametrize("char", ["x", "é", "\U0001f600", "\n"])
@pytest.mark.parametrize("room", [-1, 0, 1, 65_536, 70_000, 400_000, 3_000_000])
def test_string_is_cut_in_pieces(char, room):
    """A long string is cut where its JSON reaches the limit, and never encoded as a whole."""
    lengths = []

    class Text(str):
        __slots__ = ()

        def __getitem__(self, key):
            part = super().__getitem__(key)
            lengths.append(len(part))
            return part

    text = Text(char * 300_000)
    kept = _cut_string(text, room).partition("... [cut")[0]
    width = len(encode_at_once(char)) - 2
    assert len(kept) == min(len(text), max(0, room) // width)
    assert kept == char * len(kept)
    assert max(lengths[:-1]) <= 65_536  # the last one is what is kept


def doubled(make):
    """What is a tree of a million million values, in forty objects."""
    value = make()
    for _ in range(40):
        value = make(value, value)
    return value


@dataclasses.dataclass
class Pair:
    left: object = None
    right: object = None


DOUBLED = {
    "lists": lambda *inner: [*inner],
    "tuples": lambda *inner: inner,
    "dicts": lambda *inner: dict(zip("ab", inner, strict=False)),
    "dataclasses": Pair,
    "others": lambda *inner: [Pair(value) for value in inner],
    "numbers": lambda *inner: [*inner] or [0.5] * 100_000,
}


@pytest.mark.parametrize("make", DOUBLED.values(), ids=DOUBLED)
def test_shared_values_are_bounded(make):
    """A value whose size doubles with each level takes a moment; its first part is kept."""
    value = doubled(make)
    began = time.thread_time()
    copied, size = copy_json(value)
    assert size < 32_000_000
    assert time.thread_time() - began < 1
    assert "<left out: repeated too often>" in repr(copied)
    body = fit(Report(reqPayload=value), 100_000)
    assert len(body) <= 100_000
    parse_report(body)


class Model(pydantic.BaseModel):
    left: object = None
    right: object = None


def test_shared_values_in_models_and_errors():
    """What can only be read as a whole is named where that takes too long."""
    model = doubled(lambda *inner: Model(**dict(zip(("left", "right"), inner, strict=False))))
    error = ValueError(doubled(DOUBLED["lists"]))
    assert copy_json([model, model.left.left, Model(left=1), error])[0] == [
        "<Model>",
        "<Model>",
        {"left": 1, "right": None},
        "ValueError",
    ]
    models = [Model(left=Model(left=n)) for n in range(1000)]
    assert copy_json(Model(left=models))[0]["left"][999]["left"]["left"] == 999


def test_shared_values_in_spans_and_reports():
    """Spans and `report()` take such values, and so does JSON without a limit."""
    value = doubled(DOUBLED["lists"])
    assert b"left out" in Report(reqPayload=value).to_json()
    with captured_reports() as reports:
        with span("s", request=value) as work:
            work.response = value
        Reporter(base_url="http://x").report(respPayload=value)
    assert len(reports) == 2


def test_values_that_are_repeated_in_moderation():
    """What several places share is whole in each of them; scalars may be shared at will."""
    day = dt.date(2026, 1, 2)
    turns = [[{"role": "user", "content": str(n)}] for n in range(100)]
    value = [turns[:n] for n in range(100)] + [[day, (), [], {}, "text"] * 100_000]
    assert copy_json(value)[0] == json.loads(encode_json(value))
    assert b"left out" not in encode_json(value)


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
