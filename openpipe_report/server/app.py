"""
The receiver's HTTP API: one route, and every error in the API's own shape.

A request is checked in this order: API key, content encoding, announced size, then the body while
it is read. Payloads and keys are never logged.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from openpipe_report.server.validation import BadReportError, parse_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from fastapi import Request

    from openpipe_report.server.store import Store

BASE_PATH = "/api/v1"
"""Path of the API; a client's base URL ends with it."""
MAX_BODY_BYTES = 64 * 2**20
"""Default limit of a request body, in bytes."""

_log = logging.getLogger("openpipe_report.server")

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_SERVER_ERROR",
}
_MESSAGES = {
    404: f"There is no such path: send reports to POST {BASE_PATH}/report",
    405: "This path accepts only POST",
}


def create_app(
    store: Store, *, api_key: str | None = None, max_body_bytes: int = MAX_BODY_BYTES
) -> FastAPI:
    """
    Make the receiver as an ASGI app. It serves `POST /api/v1/report` and nothing else.

    Args:
        store: Stores the reports; the caller closes it after the last request.
        api_key: Key that requests must have as `Authorization: Bearer`. With None or an empty
            key every request is accepted.
        max_body_bytes: Maximum size of a body, in bytes; a larger one is answered with 413.

    Returns:
        An app that answers 200 `{"status": "ok"}` once the report is committed, not before.

    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    expected = (api_key or "").encode("utf-8", "surrogateescape")

    async def report(request: Request) -> Response:
        if expected and not hmac.compare_digest(_bearer(request), expected):
            raise HTTPException(
                401,
                "The API key is wrong or missing: send `Authorization: Bearer <key>`",
                {"WWW-Authenticate": "Bearer"},
            )
        parsed = parse_report(await _read_body(request, max_body_bytes))
        await _store(store, parsed, request.headers.get("Idempotency-Key"))
        return Response(b'{"status":"ok"}', media_type="application/json")

    app.add_route(f"{BASE_PATH}/report", report, methods=["POST"])
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(BadReportError, _answer_bad_report)
    app.add_exception_handler(ClientDisconnect, _on_client_disconnect)
    app.add_exception_handler(Exception, _on_internal_error)
    return app


def _bearer(request: Request) -> bytes:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    # Starlette decodes headers as Latin-1: this restores the bytes that were sent.
    return key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


async def _read_body(request: Request, max_bytes: int) -> bytes:
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "Send the body without a Content-Encoding")
    too_large = HTTPException(413, f"The body is larger than {max_bytes} bytes")
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


async def _store(store: Store, report: dict[str, Any], key: str | None) -> None:
    try:
        committed = _add(store, report, key)
        await asyncio.wrap_future(committed)
    except BadReportError:
        raise
    except Exception as error:  # noqa: BLE001 - a traceback could show the report
        _log.error("a report could not be stored: %s", error)
        message = "The report could not be stored; the receiver's log has the reason"
        raise HTTPException(500, message) from None


def _add(store: Store, report: dict[str, Any], key: str | None) -> Future[None]:
    try:
        return store.add(report, idempotency_key=key)
    except ValueError:
        raise BadReportError("The body has a number beyond the range of a double") from None


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    message = _MESSAGES.get(error.status_code, error.detail)
    return _error(error.status_code, message, headers=error.headers)


async def _answer_bad_report(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadReportError)  # noqa: S101 - as registered
    return _error(400, error.message, error.issues)


async def _on_client_disconnect(_request: Request, _gone: Exception) -> Response:
    return _error(400, "The connection ended before the body was complete")


async def _on_internal_error(_request: Request, _bug: Exception) -> Response:
    return _error(500, "The receiver failed; its log has the reason")


def _error(
    status: int,
    message: str,
    issues: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    answer = {
        "message": message,
        "code": _CODES.get(status, "INTERNAL_SERVER_ERROR"),
        "issues": [{"message": issue} for issue in issues or (message,)],
    }
    # json.dumps, not JSONResponse, which fails on a lone surrogate in the name of a field.
    return Response(json.dumps(answer), status, headers, "application/json")
