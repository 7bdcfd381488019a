"""The paths of the API, by path and method, as OpenAPI describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report.server.openapi.schemas import STRING, Schema, refer
from openpipe_report.server.parameters import (
    FILTERS,
    GROUPING,
    LABEL_PATTERN,
    LABEL_VALUE,
    MAX_LABELS,
    PAGE,
)
from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report.server.parameters import Parameter

_JSON = "application/json"
_ERROR = {"description": "An error", "content": {_JSON: {"schema": refer("Error")}}}


def _answer(schema: Schema, media_type: str = _JSON) -> dict[str, Any]:
    found = {"description": "Success", "content": {media_type: {"schema": schema}}}
    return {"200": found, "default": _ERROR}


def _describe_parameters(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": one.description, "schema": one.schema}
        for name, one in parameters.items()
    ]


def _reads(
    summary: str, answer: str, parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Describe a GET."""
    found: dict[str, Any] = {"summary": summary, "responses": _answer(refer(answer))}
    return {"get": {**found, "parameters": parameters} if parameters else found}


def _stores(
    summary: str,
    body: str,
    answer: str,
    parameters: tuple[dict[str, Any], ...] = (),
    *,
    deprecated: bool = False,
) -> dict[str, Any]:
    """Describe a POST."""
    found: dict[str, Any] = {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: {"schema": refer(body)}}},
        "responses": _answer(refer(answer)),
    }
    if parameters:
        found["parameters"] = list(parameters)
    return {"post": {**found, "deprecated": True} if deprecated else found}


_LABELS = {
    "name": "metadata",
    "in": "query",
    "description": "Labels: each is a parameter `metadata.NAME`",
    "style": "form",
    "explode": True,
    "schema": {
        "type": "object",
        "patternProperties": {LABEL_PATTERN: LABEL_VALUE.schema},
        "additionalProperties": False,
        "maxProperties": MAX_LABELS,
    },
}
_FILTERS = [*_describe_parameters(FILTERS), _LABELS]
_ID = {"name": "id", "in": "path", "required": True, "schema": {**STRING, "minLength": 1}}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A report whose key was stored before is not stored again",
    "schema": STRING,
}
_METRICS = {
    "summary": "Counts for Prometheus",
    "responses": _answer(STRING, "text/plain"),
}
_LATEST = {
    "summary": "The latest call, for tests",
    "responses": _answer({"type": ["object", "null"]}),
}

PATHS: dict[str, Any] = {
    f"{BASE_PATH}/report": _stores("Store a report", "Report", "Status", (_IDEMPOTENCY_KEY,)),
    f"{BASE_PATH}/report-anthropic": _stores(
        "Store a report of a call to Anthropic", "AnthropicReport", "Status", (_IDEMPOTENCY_KEY,)
    ),
    f"{BASE_PATH}/logs/update-metadata": _stores(
        "Change labels of stored reports; null removes one", "MetadataUpdate", "Matched"
    ),
    f"{BASE_PATH}/logs/update-tags": _stores(
        "Change labels of stored reports", "TagsUpdate", "Matched", deprecated=True
    ),
    f"{BASE_PATH}/local-testing-only-get-latest-logged-call": {"get": _LATEST},
    f"{BASE_PATH}/reports": _reads(
        "List reports", "ReportPage", [*_FILTERS, *_describe_parameters(PAGE)]
    ),
    f"{BASE_PATH}/reports/{{id}}": _reads(
        "Get a report by its id or its completion id", "StoredReport", [_ID]
    ),
    f"{BASE_PATH}/traces/{{id}}": _reads("Get the reports of a trace", "Trace", [_ID]),
    f"{BASE_PATH}/stats": _reads(
        "Sum up reports by time and by a column or label",
        "StatisticsList",
        [*_FILTERS, *_describe_parameters(GROUPING)],
    ),
    "/healthz": _reads("Whether the receiver answers", "Status"),
    "/readyz": _reads("Whether the database can be used", "Status"),
    "/metrics": {"get": _METRICS},
    "/openapi.json": {
        "get": {"summary": "This document", "responses": _answer({"type": "object"})}
    },
}
