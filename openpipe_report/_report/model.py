"""
The models of the `/report` API: seven fields, no others, every one optional.

The API's numbers are JSON numbers: no string, no boolean, no NaN, and an integer stays one.
Payloads are any JSON and are not looked into. Text is ASCII-escaped on the wire, so that lone
surrogates and NUL survive every transport and store (RFC 8259, section 7).
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Protocol, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Tag = StrictStr | StrictBool | Number | None

MAX_DEPTH = 200
"""Levels of nesting that every JSON reader takes; what is deeper travels as text."""

MAX_NODES = 1_000_000
"""Values in one payload, where it has to be looked through one by one."""

PAYLOADS = frozenset({"reqPayload", "respPayload"})


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave the field out")
    return value


_NotNull = BeforeValidator(_refuse_null)


class Report(BaseModel):
    """
    One report, as `POST /report` takes it. Attributes have the API's own names.

    A field that was not given is `None` here and is left out on the wire; only payloads can be
    null there.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    requestedAt: Annotated[Number | None, _NotNull] = None
    """When the call began: Unix time in milliseconds."""
    receivedAt: Annotated[Number | None, _NotNull] = None
    """When its answer was complete, or had failed: Unix time in milliseconds."""
    reqPayload: Any = None
    """The request body; `metadata` in it holds your labels."""
    respPayload: Any = None
    """The answer's body; of a stream, the object that the call would have returned unstreamed."""
    statusCode: Annotated[Number | None, _NotNull] = None
    """HTTP status of the answer; absent when no answer came."""
    errorMessage: Annotated[StrictStr | None, _NotNull] = None
    """What went wrong, for people; absent when nothing did."""
    tags: Annotated[dict[StrictStr, Tag] | None, _NotNull] = None
    """What the client itself knows, under names that begin with `$`, and your own tags."""

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Name the fields that are set, never their content: a repr ends up in logs."""
        return [("fields", sorted(self.model_fields_set))]

    def to_wire(self) -> dict[str, Any]:
        """The JSON object to send: fields that were set, null only for payloads."""
        return {
            name: value
            for name, value in self
            if value is not None or (name in PAYLOADS and name in self.model_fields_set)
        }

    def to_json(self) -> bytes:
        """Encode `to_wire()` as RFC 8259 allows it, ASCII only."""
        return encode_json(self.to_wire())


class ReportSource(Protocol):
    """What becomes a report on the reporter's thread: a call, a span, or one made by hand."""

    @property
    def size(self) -> int:
        """Bytes of memory that it holds, about."""
        ...

    def build(self) -> Report | None:
        """Build the report, or None if there is none to send; if it raises, it is dropped."""
        ...


class ReportFields(TypedDict, total=False):
    """The fields of `Report` as arguments; one that is left out is absent, not null."""

    requestedAt: int | float
    receivedAt: int | float
    reqPayload: Any
    respPayload: Any
    statusCode: int | float
    errorMessage: str
    tags: dict[str, str | int | float | bool | None]


class ReportResponse(BaseModel):
    """The API's answer with status 200."""

    status: Literal["ok", "error"]


def parse_json(body: bytes | str) -> Any:
    """
    Decode JSON; NaN, Infinity and numbers out of range become the string they were written as.

    Raises:
        ValueError: It is not JSON, not text, or nested too deep to read.
    """
    try:
        if isinstance(body, bytes):
            body = body.decode(json.detect_encoding(body), "surrogatepass")
        try:
            value = _DECODER.decode(body)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer longer than sys.get_int_max_str_digits()
            value = _DECODER_OF_HUGE.decode(body)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if body.count("[") + body.count("{") > MAX_DEPTH and _is_deep(value):
        raise ValueError("nested too deep")
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _parse_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _parse_int(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_parse_float)
_DECODER_OF_HUGE = json.JSONDecoder(
    parse_constant=str, parse_float=_parse_float, parse_int=_parse_int
)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_json(value: object) -> bytes:
    """Encode as JSON in ASCII; what JSON cannot say (NaN, objects) travels as its string."""
    try:
        return _dump(value)
    except Exception:  # noqa: BLE001 - what it is not made for, and whatever its values do
        try:
            return _dump(_Plainer().plain(value))
        except Exception:  # noqa: BLE001 - not even its kind can be told
            return _dump(f"<{type(value).__name__}>")


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


class _Plainer:
    """Makes a JSON value of any value: each thing that JSON cannot say becomes a string."""

    def __init__(self) -> None:
        self._left = MAX_NODES
        self._path: list[int] = []

    def plain(self, value: object) -> object:
        self._left -= 1
        if self._left < 0:
            return "<left out: too many values>"
        if value is None or isinstance(value, (str, bool)):
            return value
        if isinstance(value, int):
            return value if abs(value) < 10**4000 else hex(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else _name_of(value)
        if id(value) in self._path:
            return "<circular>"
        if len(self._path) >= MAX_DEPTH:
            return f"<{type(value).__name__} nested deeper than {MAX_DEPTH}>"
        self._path.append(id(value))
        try:
            return self._contents(value)
        except Exception:  # noqa: BLE001 - somebody else's serializer or mapping
            return f"<{type(value).__name__}>"
        finally:
            self._path.pop()

    def _contents(self, value: object) -> object:
        if isinstance(value, dict):
            return {
                key if isinstance(key, str) else str(key): self.plain(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.plain(item) for item in value]
        if isinstance(value, BaseModel):
            return self.plain(value.model_dump(mode="python", warnings=False))
        return f"<{type(value).__name__}>"


def _name_of(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
