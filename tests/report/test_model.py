"""The models of the API, and JSON as RFC 8259 allows it."""

from __future__ import annotations

import inspect
import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from openpipe_report import Report, Reporter, span
from openpipe_report._report.json_codec import encode_json, parse_json
from openpipe_report.server.validation import parse_report
from openpipe_report.testing import captured_reports


def test_absent_fields_are_left_out():
    """What was not given is not sent; null is sent for payloads only."""
    assert Report().to_json() == b"{}"
    assert Report(reqPayload=None, respPayload=None).to_wire() == {
        "reqPayload": None,
        "respPayload": None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"requestedAt": "1"},
        {"requestedAt": True},
        {"requestedAt": math.nan},
        {"statusCode": None},
        {"errorMessage": 3},
        {"tags": None},
        {"tags": {"a": [1]}},
        {"tags": {"a": math.inf}},
        {"other": 1},
    ],
    ids=lambda fields: "-".join(f"{name}={value}" for name, value in fields.items()),
)
def test_strict_fields(fields):
    """The API's numbers are numbers, finite ones; nothing else is let in."""
    with pytest.raises(ValidationError):
        Report(**fields)


def test_integers_stay_integers():
    """An integer is sent as it came, a fraction as a fraction."""
    report = Report(requestedAt=1700000000000, receivedAt=0.5, tags={"n": 1, "b": True, "z": None})
    assert report.to_json() == (
        b'{"requestedAt":1700000000000,"receivedAt":0.5,"tags":{"n":1,"b":true,"z":null}}'
    )


def test_repr_has_no_payload():
    """A report's repr names its fields and shows none."""
    report = Report(reqPayload={"messages": "a secret"}, errorMessage="secret")
    assert "secret" not in f"{report!r} {report}"


class Odd:
    """An object that JSON does not know."""


@pytest.mark.parametrize(
    "value, expected",
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ({"a": [math.inf]}, {"a": ["Infinity"]}),
        ("\ud800", "\ud800"),
        ("\0é", "\0é"),
        ({1: 2, None: 3}, {"1": 2, "null": 3}),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ((1, 2), [1, 2]),
        (Odd(), "<Odd>"),
        ([math.nan, 10**5000], ["NaN", hex(10**5000)]),
    ],
    ids=[
        "nan", "inf", "nested-inf", "surrogate", "nul", "keys", "odd-keys", "tuple", "object",
        "long-integer",
    ],
)  # fmt: skip
def test_encode_json(value, expected):
    """What JSON cannot say travels as its string; the text on the wire is ASCII."""
    encoded = encode_json(value)
    assert encoded.isascii()
    assert json.loads(encoded) == expected


def test_deep_nesting_ends_somewhere():
    """Nesting without an end is cut, not raised."""
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert b"nested deeper" in encode_json(value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_round_trip(value):
    """Any JSON value comes back equal, lone surrogates included."""
    assert parse_json(encode_json(value)) == value


def nested(levels, innermost):
    value = innermost
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("levels", [300, 498, 499, 500, 501, 600, 5000])
@pytest.mark.parametrize("innermost", [[], [1], {"a": ()}], ids=["empty", "scalar", "tuple"])
def test_depth_is_the_same_everywhere(levels, innermost):
    """Whatever is encoded can be read back, and the receiver takes it; deeper is named."""
    value = nested(levels, innermost)
    body = Report(reqPayload=value, tags={}).to_json()
    assert parse_report(body) == parse_json(body)
    assert (b"nested deeper than 500>" in body) == (levels + (innermost == {"a": ()}) > 499)
    inner = encode_json(value)
    assert parse_report(Report(respPayload={"input": parse_json(inner)}).to_json())


@pytest.mark.parametrize("levels", [300, 600])
def test_deep_values_are_reported(levels):
    """A span and `report()` take values of any depth and raise nothing."""
    value = nested(levels, [])
    with captured_reports() as reports:
        with span("deep", request=value) as work:
            work.response = value
        assert Reporter(base_url="http://x").report(reqPayload=value)
    assert len(reports) == 2
    if levels < 500:
        assert reports[0].reqPayload["input"] == reports[1].reqPayload == value


def test_deep_values_on_a_deep_stack():
    """Where the stack has no room for all levels, the deepest are named."""

    def descend(frames):
        return descend(frames - 1) if frames else encode_json(nested(400, [float("nan")]))

    room = sys.getrecursionlimit() - len(inspect.stack()) - 120
    named = (b"nested deeper than", b"<list>", b"<dict>")
    assert any(name in descend(room) for name in named) or sys.version_info >= (3, 12)
