"""The JSON schemas of bodies and answers, by name."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from openpipe_report.server.routes.feedback import MAX_FILTERS, MAX_NAMES
from openpipe_report.server.store.labels import MAX_CHANGED_VALUE
from openpipe_report.server.store.rows import StoredReport
from openpipe_report.server.store.statistics import Statistics

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_ANY_TAG: Schema = {"type": ["string", "number", "boolean", "null"]}
_TAGS: Schema = {"type": "object", "additionalProperties": _ANY_TAG}
_TIME = {**NUMBER, "description": "Unix time in milliseconds"}


def refer(name: str) -> Schema:
    """Return a reference to the schema with this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def make_object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object, all properties of which but the optional are required."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _make_strict_object(properties: Schema) -> Schema:
    """Return the schema of an object that has these properties and no others."""
    return {**make_object(properties), "additionalProperties": False}


def make_list(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


_REPORT_FIELDS: Schema = {
    "requestedAt": _TIME,
    "receivedAt": _TIME,
    "reqPayload": {"description": "The request, any JSON; `metadata` in it are labels"},
    "respPayload": {"description": "The answer, any JSON"},
    "statusCode": {**NUMBER, "description": "HTTP status of the answer"},
    "errorMessage": STRING,
    "tags": {
        **_TAGS,
        "description": "Further labels; names that begin with `$` are the client's own",
    },
}
_FILTER = _make_strict_object(
    {
        "field": {
            "type": "string",
            "pattern": "^(model|completionId|(metadata|tags)\\.[\\s\\S]+)$",
            "description": "`model`, `completionId` or `metadata.NAME`",
        },
        "equals": {**_SCALAR, "description": "Compared as a string"},
    }
)


def _make_update(name: str, changes: Schema) -> Schema:
    """Return the schema of a change of labels, which are in the property `name`."""
    filters = {
        **make_list(_FILTER),
        "maxItems": MAX_FILTERS,
        "description": "All must hold; none match every report",
    }
    return _make_strict_object({"filters": filters, name: {**changes, "maxProperties": MAX_NAMES}})


def _read_fields(of: type[Any]) -> Schema:
    return TypeAdapter(of).json_schema(mode="serialization")


SCHEMAS: Schema = {
    "Report": {"type": "object", "properties": _REPORT_FIELDS, "additionalProperties": False},
    "AnthropicReport": {
        "type": "object",
        "properties": {**_REPORT_FIELDS, "metadata": {**_TAGS, "description": "Labels"}},
        "additionalProperties": False,
    },
    "MetadataUpdate": _make_update(
        "metadata",
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "null"], "maxLength": MAX_CHANGED_VALUE},
        },
    ),
    "TagsUpdate": _make_update(
        "tags",
        {
            "type": "object",
            "additionalProperties": {**_ANY_TAG, "maxLength": MAX_CHANGED_VALUE},
        },
    ),
    "Matched": make_object({"matchedLogs": {"type": "integer", "minimum": 0}}),
    "Status": make_object({"status": {"type": "string", "enum": ["ok"]}}),
    "StoredReport": _read_fields(StoredReport),
    "ReportPage": make_object(
        {"data": make_list(refer("StoredReport")), "next": {"type": ["string", "null"]}}
    ),
    "Trace": make_object({"data": make_list(refer("StoredReport"))}),
    "Statistics": _read_fields(Statistics),
    "StatisticsList": make_object({"data": make_list(refer("Statistics"))}),
    "Error": make_object(
        {
            "message": STRING,
            "code": STRING,
            "issues": make_list(make_object({"message": STRING})),
        }
    ),
}
