"""Values of Python's and others' types in spans and `report()`."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import types
import uuid
from typing import NamedTuple, TypedDict
from unittest import mock

import attrs
import pydantic
import pytest
from openai.types import CompletionUsage

from openpipe_report import Reporter, span
from openpipe_report._report.json_codec import encode_json
from openpipe_report.testing import captured_reports


@dataclasses.dataclass
class Hit:
    text: str
    at: dt.date = dt.date(2026, 1, 2)
    more: object = None


@dataclasses.dataclass(slots=True)
class Slotted:
    hits: list[Hit]


@attrs.define
class Attrs:
    x: int
    inner: object = None


class Model(pydantic.BaseModel):
    x: decimal.Decimal
    secret: pydantic.SecretStr
    blob: bytes = b"abc"


class Point(NamedTuple):
    x: int
    y: object


class Row(TypedDict):
    when: dt.date


class Color(enum.Enum):
    RED = "red"
    DAY = dt.date(2026, 1, 2)
    RGB = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Plain:
    """An object that says nothing of itself."""


UTC = dt.timezone.utc
VALUES = [
    (Hit("a"), {"text": "a", "at": "2026-01-02", "more": None}),
    (Hit("a", more=Hit), {"text": "a", "at": "2026-01-02", "more": "<type>"}),
    (Slotted([Hit("a", more={1})]), {"hits": [{"text": "a", "at": "2026-01-02", "more": [1]}]}),
    (Attrs(1, Attrs(2)), {"x": 1, "inner": {"x": 2, "inner": None}}),
    (
        Model(x="1.50", secret="hidden"),
        {"x": "1.50", "secret": "**********", "blob": "<bytes, 3 bytes>"},
    ),
    (
        CompletionUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
        {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
    ),
    (Point(1, {2}), [1, [2]]),
    (Row(when=dt.date(2026, 1, 2)), {"when": "2026-01-02"}),
    (Color.RED, "red"),
    (Color.DAY, "2026-01-02"),
    (Color.RGB, [1, 2]),
    (Level.HIGH, 3),
    (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
    (
        dt.datetime(2026, 1, 2, 3, 4, 5, 600),  # noqa: DTZ001
        "2026-01-02T03:04:05.000600",
    ),
    (dt.time(3, 4), "03:04:00"),
    (dt.timedelta(seconds=9), "PT9S"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (decimal.Decimal("1.50"), "1.50"),
    (fractions.Fraction(1, 3), "1/3"),
    (1j, "1j"),
    (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    (pathlib.PurePosixPath("/x/y"), "/x/y"),
    (pathlib.Path("x"), "x"),
    ({"b", "a"}, ["a", "b"]),
    (frozenset([2]), [2]),
    (collections.deque([1, {2}]), [1, [2]]),
    (range(3), [0, 1, 2]),
    ({"a": {1}}.keys(), ["a"]),
    ({"a": {1}}.items(), [["a", [1]]]),
    (types.MappingProxyType({"a": {1}}), {"a": [1]}),
    (collections.UserDict(a={1}), {"a": [1]}),
    (b"\xff\0", "<bytes, 2 bytes>"),
    (bytearray(3), "<bytearray, 3 bytes>"),
    (memoryview(bytes(4)), "<memoryview, 4 bytes>"),
    (ValueError("no"), "ValueError: no"),
    (Plain(), "<Plain>"),
    (Plain, "<type>"),
    (len, "<builtin_function_or_method>"),
    (mock.MagicMock(), "<MagicMock>"),
    ({Color.RED: 1, dt.date(2026, 1, 2): 2, 3: {4}}, {"red": 1, "2026-01-02": 2, "3": [4]}),
    ({None: {1}, True: 2, 1.5: 3}, {"null": [1], "true": 2, "1.5": 3}),
]


@pytest.mark.parametrize("value, form", VALUES, ids=lambda item: type(item).__name__)
def test_obvious_form(value, form):
    """Each has the JSON form that a reader expects, alone and inside of others."""
    assert json.loads(encode_json(value)) == form
    assert json.loads(encode_json([{"a": value}])) == [{"a": form}]


def test_in_spans_and_reports():
    """Spans and `report()` take the same values."""

    @span("rank")
    def rank(hits, key):
        return hits

    with captured_reports() as reports:
        rank([Hit("a")], uuid.UUID(int=1))
        Reporter(base_url="http://x").report(respPayload=[Hit("a")])
    form = [{"text": "a", "at": "2026-01-02", "more": None}]
    assert reports[0].reqPayload["input"]["hits"] == form
    assert reports[0].respPayload == reports[1].respPayload == form


def test_numpy():
    """Scalars of numpy's are their values, arrays are named by shape and type."""
    np = pytest.importorskip("numpy")
    values = {
        "f": np.float32(0.5),
        "i": np.int64(3),
        "b": np.bool_(True),
        "nan": np.float32("nan"),
        "t": np.datetime64("2026-01-02"),
        "a": np.zeros((2, 3)),
        "none": np.zeros((), dtype="int8"),
    }
    assert json.loads(encode_json(values)) == {
        "f": 0.5,
        "i": 3,
        "b": True,
        "nan": "NaN",
        "t": "2026-01-02",
        "a": "<ndarray, shape (2, 3), float64>",
        "none": 0,
    }


class Array:
    """As numpy's arrays and their like are."""

    def __init__(self, *shape):
        self.shape = shape
        self.dtype = "float32"

    def item(self):
        return 0.5


class Frame(Array):
    """Has no type of its own."""

    dtype = property()

    def __init__(self, *shape):
        self.shape = shape


def test_arrays():
    """Arrays are named by their shape, and by their type where they have one."""
    assert json.loads(encode_json([Array(2, 3), Array(), Frame(4)])) == [
        "<Array, shape (2, 3), float32>",
        0.5,
        "<Frame, shape (4,)>",
    ]


def test_what_can_be_read_once_is_not_read():
    """Iterators, generators and coroutines are named, and left as they are."""

    async def work():
        return 1

    items, lines, awaited = iter([1, 2]), (line for line in "ab"), work()
    found = json.loads(encode_json([items, lines, awaited, map(str, [1])]))
    assert found == ["<list_iterator>", "<generator>", "<coroutine>", "<map>"]
    assert (list(items), list(lines), asyncio.run(awaited)) == ([1, 2], ["a", "b"], 1)


class Lying:
    """Says that it is a string."""

    __class__ = str


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    __hash__ = object.__hash__

    def __repr__(self):
        raise RuntimeError

    __str__ = __iter__ = __len__ = __eq__ = __repr__


class HostileMeta(type):
    def __getattribute__(cls, name):
        raise RuntimeError(name)


class HostileClass(metaclass=HostileMeta):
    pass


class HostileDict(dict):
    def items(self):
        raise RuntimeError


class HostileList(list):
    def __iter__(self):
        raise RuntimeError


class HostileText(str):
    __slots__ = ()

    def __len__(self):
        raise RuntimeError

    __getitem__ = __str__ = encode = __len__


@dataclasses.dataclass
class Unset:
    x: int = dataclasses.field(init=False)


class HostileModel(pydantic.BaseModel):
    def model_dump(self, **_):
        raise RuntimeError


HOSTILE = {  # pytest looks at parameters, so each is made in its test
    "lies": [Lying],
    "raises": [Hostile],
    "metaclass": [HostileClass],
    "dict": [HostileDict, {"a": {1}}],
    "list": [HostileList, [{1}]],
    "model": [HostileModel],
    "text": [HostileText, "text"],
    "long text": [HostileText, "text" * 50_000],
    "key": [lambda: {Hostile(): 1}],
    "member": [lambda: {"a": Hostile(), "b": {1}}],
    "field": [lambda: Hit("a", more=Hostile())],
    "error": [lambda: ValueError(Hostile())],
    "lying mock": [mock.Mock, dict],
    "lying key": [lambda: {Lying(): {1}}],
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values(make):
    """Whatever an object does when it is asked, nothing is raised, and what is beside it stays."""
    value = make[0](*make[1:])
    found = json.loads(encode_json({"hostile": value, "beside": dt.date(2026, 1, 2)}))
    assert found["beside"] == "2026-01-02"
    assert json.loads(encode_json(value)) == found["hostile"]
    with captured_reports() as reports:
        with span("s", request=value) as work:
            work.response = value
        assert Reporter(base_url="http://x").report(reqPayload=value)
    assert len(reports) == 2


def test_numbers_out_of_range_in_long_lists():
    """A list of numbers is whole, also if one of them has no float."""
    values = [*range(20_000), 10**400]
    assert json.loads(encode_json(values)) == values
    assert json.loads(encode_json([HostileText("text"), values]))[0] == "text"


def test_attribute_that_is_missing():
    """A field that was never set is left out."""
    assert json.loads(encode_json(Unset())) == {}


def test_circles():
    """A value inside of itself is named; one that stands twice is there twice."""
    hit = Hit("a")
    hit.more = [hit]
    assert json.loads(encode_json(hit))["more"] == ["<circular>"]
    twice = {1}
    assert json.loads(encode_json([twice, twice])) == [[1], [1]]
