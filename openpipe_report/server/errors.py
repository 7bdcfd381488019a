"""
Errors of the HTTP API, all in the API's own shape.

    {"message": str, "code": str, "issues": [{"message": str}, ...]}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_AFTER = {"Retry-After": "5"}
"""Header of a 503: the client sends the same request again after so many seconds."""

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "MISDIRECTED_REQUEST",
    431: "REQUEST_HEADER_FIELDS_TOO_LARGE",
    503: "SERVICE_UNAVAILABLE",
}


class ApiError(Exception):
    """
    A request is answered with an error.

    Args:
        status: HTTP status of the answer.
        message: The error in one sentence; it quotes neither a payload nor a key.
        issues: One line for each fault; by default the message.
        headers: Headers of the answer beside its type and length.

    """

    def __init__(
        self,
        status: int,
        message: str,
        issues: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, issues, headers)
        self.status = status
        self.message = message
        self.issues = issues
        self.headers = headers

    def to_json(self) -> str:
        """Return the body of the answer."""
        return json.dumps(
            {
                "message": self.message,
                "code": code_of(self.status),
                "issues": [{"message": issue} for issue in self.issues or (self.message,)],
            }
        )

    def to_response(self) -> Response:
        """Return the answer."""
        # Not JSONResponse, which fails on a lone surrogate in the name of a field.
        return Response(self.to_json(), self.status, self.headers, "application/json")


def code_of(status: int) -> str:
    """Return the `code` of an error with this status."""
    return _CODES.get(status, "INTERNAL_SERVER_ERROR")


def unavailable(message: str) -> ApiError:
    """Return the error of a temporary lack, after which the client tries again."""
    return ApiError(503, message, headers=RETRY_AFTER)
