"""Errors as pages, for browsers; programs get the API's JSON."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from openpipe_report.server.page.templating import render
from openpipe_report.server.routes import BASE_PATH

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from openpipe_report.server.errors import ApiError


def wants_page(scope: Scope) -> bool:
    """Whether a request asks for a page: its client takes HTML, and its path is not the API's."""
    if scope["path"].startswith(f"{BASE_PATH}/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def to_page(error: ApiError) -> Response:
    """Return an error as a page."""
    values = {
        "status": error.status,
        "name": _name_of(error.status),
        "message": error.message,
        "issues": error.issues,
    }
    return render("error.html", values, status=error.status, headers=error.headers)


def _name_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
