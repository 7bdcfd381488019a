"""
The models of the `/report` API: seven fields, no others, every one optional.

The API's numbers are JSON numbers: no string, no boolean, no NaN, and an integer stays one.
Payloads are any JSON and are not looked into.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from openpipe_report._report.json_codec import encode_json

Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Tag = StrictStr | StrictBool | Number | None

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

    @property
    def trace_id(self) -> str | None:
        """The trace that it belongs to, 32 hexadecimal digits; sampling goes by it."""
        ...

    def discard_if_succeeded(self) -> bool:
        """Where nothing can have failed, let go of everything unread, and return True."""
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
