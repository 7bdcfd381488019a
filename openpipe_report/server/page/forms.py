"""
Forms that change something: their fields, and the check that they are the receiver's own.

A browser sends a form to any site, with the cookies that it has for it. The checks of `browsers.py`
refuse one of another site's page; beside that a form must have the visitor's token, which no other
page can know.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from openpipe_report.server.bodies import Reservation, read_body
from openpipe_report.server.errors import ApiError
from openpipe_report.server.visitors.visitor import get_visitor

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.limits import Limits
    from openpipe_report.server.traffic import Traffic

MAX_BYTES = 4 * 2**20
"""Size of a form's body; a corrected answer takes up to twelve bytes a character."""
TOKEN = "token"  # noqa: S105 - a field's name
"""The field that has the visitor's token."""

_MAX_FIELDS = 100
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]*")

Form = dict[str, str]
"""The fields of a form by name; of one that is repeated the last."""


class FormReader:
    """Reads the forms of one receiver, within its limits."""

    def __init__(self, limits: Limits, traffic: Traffic) -> None:
        self._limits = replace(limits, max_body_bytes=min(limits.max_body_bytes, MAX_BYTES))
        self._traffic = traffic

    async def read(self, request: Request) -> Form:
        """
        Read the form in a request's body.

        Raises:
            ApiError: 403, the form has not the visitor's token; 400, it has too many fields; 413,
                415 and 503 as in `read_body()`.

        """
        headers = dict(request.scope["headers"])
        kind = b"application/x-www-form-urlencoded"
        with Reservation(self._limits, self._traffic) as reservation:
            body = await read_body(headers, request.receive, reservation, kind)
            form = _parse(body)
        if not get_visitor().owns(form.pop(TOKEN, "")):
            raise ApiError(
                403,
                "This form is of an earlier session, or of another site: go back, load the page "
                "again, and send it once more",
            )
        return form


def _parse(body: bytes | bytearray) -> Form:
    try:
        pairs = parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise ApiError(400, f"A form has at most {_MAX_FIELDS} fields") from None
    # A browser sends each line break of a text field as CRLF.
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def local_path(text: str, otherwise: str = "/") -> str:
    """Return a path of this receiver as it is, and `otherwise` for anything else."""
    return text if _LOCAL_PATH.fullmatch(text) else otherwise
