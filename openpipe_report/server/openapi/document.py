"""The OpenAPI document of one receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._version import VERSION
from openpipe_report.server.openapi.operations import PATHS
from openpipe_report.server.openapi.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Collection

_KEY = "key"


def make_document(paths: Collection[str], *, open_paths: Collection[str] | None) -> dict[str, Any]:
    """
    Return the document.

    Args:
        paths: The paths that the receiver answers.
        open_paths: Those that need no API key; None if there is no key.

    """
    found = {path: operations for path, operations in PATHS.items() if path in paths}
    components: dict[str, Any] = {"schemas": SCHEMAS}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "openpipe-report receiver",
            "version": VERSION,
            "description": "Stores reports of calls to language models, and finds them.",
        },
        "paths": found,
        "components": components,
    }
    if open_paths is not None:
        document["security"] = [{_KEY: []}]
        components["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
        document["paths"] = {
            path: _without_key(operations) if path in open_paths else operations
            for path, operations in found.items()
        }
    return document


def _without_key(operations: dict[str, Any]) -> dict[str, Any]:
    return {method: {**one, "security": []} for method, one in operations.items()}
