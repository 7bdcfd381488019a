"""The OpenAPI document of one receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._version import VERSION
from openpipe_report.server.openapi.operations import PATHS
from openpipe_report.server.openapi.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Collection

_KEY = "key"


def make_document(
    paths: Collection[str], *, open_paths: Collection[str], with_key: bool
) -> dict[str, Any]:
    """
    Return the document.

    Args:
        paths: The paths that the receiver answers.
        open_paths: Those that never need an API key.
        with_key: Whether the others need one; without, they do once the store has a key.

    """
    found = {path: operations for path, operations in PATHS.items() if path in paths}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "openpipe-report receiver",
            "version": VERSION,
            "description": "Stores reports of calls to language models, and finds them.",
        },
        "paths": {
            path: _without_key(operations) if path in open_paths else operations
            for path, operations in found.items()
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
        },
        "security": [{_KEY: []}] if with_key else [{_KEY: []}, {}],
    }


def _without_key(operations: dict[str, Any]) -> dict[str, Any]:
    return {method: {**one, "security": []} for method, one in operations.items()}
