"""
`GET /static/NAME`: the style sheet, the script and the icon of the pages.

Pages name a file with the hash of its content, under which it may be cached for ever. Files hold
nothing of a report, so they need no API key: a page that says that a key is missing has them too.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.headers import SECURITY

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.page.site import Site

PREFIX = "/static/"
"""How the path of every file begins."""

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


class _File(NamedTuple):
    content: bytes
    version: str
    media_type: str


def add_to(site: Site) -> None:
    """Add the path of the files."""
    site.add(f"{PREFIX}{{name}}", _answer, needs=None)


def url_of(name: str) -> str:
    """Return the URL of a file with the hash of its content."""
    return f"{PREFIX}{name}?v={_files()[name].version}"


async def _answer(request: Request) -> Response:
    file = _files().get(request.path_params["name"])
    if file is None:
        raise ApiError(404, "There is no such file")
    etag = f'"{file.version}"'
    is_current = request.query_params.get("v") == file.version
    headers = {**SECURITY, "ETag": etag, "Cache-Control": _FOREVER if is_current else "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


@functools.cache
def _files() -> dict[str, _File]:
    found = (path for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES)
    return {path.name: _load(path) for path in found}


def _load(path: Path) -> _File:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:16]
    return _File(content, version, _TYPES[path.suffix])
