"""
`POST /api/v1/logs/update-metadata` and its deprecated twin `/logs/update-tags`: feedback.

They take `{"filters": [{"field": str, "equals": str | number | bool}], "metadata": {name: str |
null}}`, change the labels of all reports that match, and answer `{"matchedLogs": int}`. The twin
has `tags` in the place of `metadata`; its values may also be numbers and booleans, as in a report,
and become strings. The reports as they were posted stay unchanged.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
)
from starlette.responses import Response

from openpipe_report._report.model import Number, Tag
from openpipe_report.server.intake import LabelChange, parse_within
from openpipe_report.server.routes import BASE_PATH
from openpipe_report.server.store.labels import to_string
from openpipe_report.server.validation import TAG, check, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.call import Call
    from openpipe_report.server.intake import Intake
    from openpipe_report.server.routes import Routes

MAX_FILTERS = 100
"""Most filters of one change. SQLite takes no condition of thousands."""
MAX_NAMES = 100
"""Most labels of one change."""

_FIELD = re.compile(r"model|completionId|(metadata|tags)\..+", re.DOTALL)
_RULES = {
    "filters": f"must be an array of at most {MAX_FILTERS}",
    "filters.*": 'must be {"field": ..., "equals": ...} and have no other field',
    "filters.*.field": "must be model, completionId, metadata.NAME or tags.NAME",
    "filters.*.equals": "must be a string, a finite number or a boolean",
}
_METADATA_RULES = {
    **_RULES,
    "metadata": f"must be an object of at most {MAX_NAMES} names",
    "metadata.*": "must be a string or null",
}
_TAGS_RULES = {
    **_RULES,
    "tags": f"must be an object of at most {MAX_NAMES} names",
    "tags.*": TAG,
}


def _check_names(value: object) -> object:
    # Pydantic would describe every other name, of which there may be a million.
    if isinstance(value, dict) and not value.keys() <= _Filter.model_fields.keys():
        raise ValueError(_RULES["filters.*"])
    return value


def _check_field(value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise ValueError(_RULES["filters.*.field"])
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Filter(_Strict):
    field: Annotated[StrictStr, AfterValidator(_check_field)]
    equals: StrictStr | StrictBool | Number


_Filters = Annotated[
    list[Annotated[_Filter, BeforeValidator(_check_names)]], Field(max_length=MAX_FILTERS)
]


class _MetadataChange(_Strict):
    filters: _Filters
    metadata: Annotated[dict[StrictStr, StrictStr | None], Field(max_length=MAX_NAMES)]


class _TagsChange(_Strict):
    filters: _Filters
    tags: Annotated[dict[StrictStr, Tag], Field(max_length=MAX_NAMES)]


def routes(intake: Intake) -> Routes:
    """Return both routes; a change is answered once it is committed."""

    def make(parse: Callable[[bytes | bytearray, int], LabelChange]) -> Any:
        async def update(call: Call) -> Response:
            with call.reserve() as reservation:
                body = await call.read(reservation)
                matched = await intake.change(body, call.access.project, parse)
            return Response(json.dumps({"matchedLogs": matched}), media_type="application/json")

        return update

    return {
        f"{BASE_PATH}/logs/update-metadata": {"POST": make(parse_metadata_change)},
        f"{BASE_PATH}/logs/update-tags": {"POST": make(parse_tags_change)},
    }


def parse_metadata_change(body: bytes | bytearray, max_nodes: int) -> LabelChange:
    """Parse a body of `/logs/update-metadata`; raises as `parse_within()`."""
    found = parse_within(body, max_nodes, _read_metadata_change)
    return LabelChange(found["filters"], found["metadata"])


def parse_tags_change(body: bytes | bytearray, max_nodes: int) -> LabelChange:
    """Parse a body of `/logs/update-tags`; raises as `parse_within()`."""
    found = parse_within(body, max_nodes, _read_tags_change)
    tags: dict[str, Any] = found["tags"]
    changes = {name: None if value is None else to_string(value) for name, value in tags.items()}
    return LabelChange(found["filters"], changes)


def _read_metadata_change(body: bytes | bytearray) -> dict[str, Any]:
    found = parse_object(body)
    check(found, _MetadataChange, _METADATA_RULES, "change of metadata")
    return found


def _read_tags_change(body: bytes | bytearray) -> dict[str, Any]:
    found = parse_object(body)
    check(found, _TagsChange, _TAGS_RULES, "change of tags")
    return found
