"""
`GET` and `POST /login`, `POST /logout`: an API key is asked for once, and kept for a session.

The page to log in is open to all. A browser that asks for another page without a key is sent there,
and back afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.forms import local_path
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.templating import render
from openpipe_report.server.visitors.cookies import write_cookie
from openpipe_report.server.visitors.visitor import get_visitor

if TYPE_CHECKING:
    from starlette.requests import Request

    from openpipe_report.server.page.forms import Form
    from openpipe_report.server.page.site import Site

PATH = "/login"
LOGOUT_PATH = "/logout"

_UNAUTHORIZED = 401


def add_to(site: Site) -> None:
    """Add the views."""

    async def show(request: Request) -> Response:
        next_path = local_path(request.query_params.get("next", ""))
        if await _is_open(site):
            return RedirectResponse(next_path, 303, OF_PAGES)
        return _show_form(next_path)

    async def log_in(request: Request, form: Form) -> Response:
        next_path = local_path(form.get("next", ""))
        key = form.get("key", "").strip().encode("utf-8", "surrogateescape")
        try:
            access = await site.services.authenticator.identify(b"Bearer " + key)
        except ApiError as error:
            if error.status != _UNAUTHORIZED:
                raise
            return _show_form(next_path, "This key is wrong, has expired or was revoked.")
        if not access.allows("read"):
            return _show_form(next_path, "This key may store reports, and not read them.")
        return _keep(request, next_path, site.services.sessions.open(key))

    async def log_out(request: Request, _form: Form) -> Response:
        site.services.sessions.close(get_visitor().session_id)
        return _keep(request, PATH, "")

    site.add(PATH, show, needs=None)
    site.add_form(PATH, log_in, needs=None)
    site.add_form(LOGOUT_PATH, log_out, needs=None)


def to_login(path: str, query: bytes) -> Response:
    """Return the answer that sends a browser to the page to log in, and back afterwards."""
    path = quote(path)
    wanted = local_path(f"{path}?{query.decode('latin-1')}" if query else path)
    return RedirectResponse(url_with(PATH, next=None if wanted == "/" else wanted), 303, OF_PAGES)


async def _is_open(site: Site) -> bool:
    """Whether no key is asked for, or the visitor is logged in."""
    given = site.services.sessions.authorization(get_visitor().session_id)
    try:
        await site.services.authenticator.identify(given)
    except ApiError as error:
        if error.status != _UNAUTHORIZED:
            raise
        return False
    return True


def _show_form(next_path: str, fault: str | None = None) -> Response:
    status = 200 if fault is None else 401
    return render("login.html", {"next": next_path, "fault": fault}, status=status)


def _keep(request: Request, path: str, session_id: str) -> Response:
    cookie = write_cookie(dict(request.scope["headers"]), session_id)
    return RedirectResponse(path, 303, {**OF_PAGES, "Set-Cookie": cookie})
