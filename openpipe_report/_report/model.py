"""
The models of the API: a report has seven fields, no others, every one optional.

The API's numbers are JSON numbers: no string, no boolean, no NaN, and an integer stays one.
Payloads are any JSON and are not validated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from openpipe_report._report.json_codec import encode_json

if TYPE_CHECKING:
    from openpipe_report._report.sent_json import SentJson

Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Tag = StrictStr | StrictBool | Number | None

REPORT_PATH = "report"
"""Where reports are posted, below the base URL."""
UPDATE_PATH = "logs/update-metadata"
"""Where changes of the labels of reports are posted, below the base URL."""
PATHS = (REPORT_PATH, UPDATE_PATH)

PAYLOADS = frozenset({"reqPayload", "respPayload"})


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave the field out")
    return value


NotNull = BeforeValidator(_refuse_null)


class Report(BaseModel):
    """
    One report, as `POST /report` takes it. Attributes have the API's own names.

    A field that was not given is `None` here and is left out on the wire; only payloads can be
    null there.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    requestedAt: Annotated[Number | None, NotNull] = None
    """When the call began: Unix time in milliseconds."""
    receivedAt: Annotated[Number | None, NotNull] = None
    """When its answer was complete or its failure was known: Unix time in milliseconds."""
    reqPayload: Any = None
    """The request body; `metadata` in it holds your labels."""
    respPayload: Any = None
    """The answer's body; for a stream, the object of the same call without streaming."""
    statusCode: Annotated[Number | None, NotNull] = None
    """HTTP status of the answer; absent if there was none."""
    errorMessage: Annotated[StrictStr | None, NotNull] = None
    """A description of the error; absent if the call succeeded."""
    tags: Annotated[dict[StrictStr, Tag] | None, NotNull] = None
    """The client's own tags, whose names begin with `$`, and the user's."""

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Return the names of the fields, never their content: a repr may be logged."""
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
    """Builds a report on the reporter's thread, of a call, a span or given values."""

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        ...

    @property
    def trace_id(self) -> str | None:
        """Its trace id, 32 hexadecimal digits, which decides sampling."""
        ...

    def discard_if_succeeded(self) -> bool:
        """If it is known to have succeeded, release its content unread, and return True."""
        ...

    def build(self, sent: dict[str, SentJson], /) -> Report | None:
        """
        Build the report; None if there is none to send. If it raises, the report is dropped.

        Args:
            sent: May take payloads that can stand in the report as they crossed the wire, by the
                names of their fields.
        """
        ...


class ReportFields(TypedDict, total=False):
    """The fields of `Report` as arguments; a missing one is absent, not null."""

    requestedAt: int | float
    receivedAt: int | float
    reqPayload: Any
    respPayload: Any
    statusCode: int | float
    errorMessage: str
    tags: dict[str, str | int | float | bool | None]


class ReportResponse(BaseModel):
    """The API's answer to a report, with status 200."""

    status: Literal["ok", "error"]


class UpdateResponse(BaseModel):
    """The API's answer to a change of labels, with status 200."""

    matchedLogs: Number
    """How many reports were changed."""
