"""Makes pages from the templates of `templates/`. Everything put into one is escaped."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from openpipe_report.server.charts.palette import color_number
from openpipe_report.server.page import formatting
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import path_of, url_with, with_value
from openpipe_report.server.page.navigation import ENTRIES
from openpipe_report.server.page.static_files import url_of
from openpipe_report.server.page.turn_text import turn_to_text
from openpipe_report.server.visitors.visitor import get_visitor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

_FOLDER = Path(__file__).parent / "templates"


def render(
    template: str, values: Mapping[str, Any], *, status: int = 200, headers: Any = None
) -> Response:
    """
    Return a page.

    Args:
        template: The name of a file of `templates/`.
        values: Its variables. `layout.html` shows those named `here`, the path of an entry of the
            header, and `filter_pairs`, the filter in force as pairs of a query string.
        status: HTTP status of the answer.
        headers: Headers beside those of every page.

    """
    text = render_text(template, values)
    # A page may have lone surrogates of a payload in it, which UTF-8 cannot express.
    content = text.encode("utf-8", "replace")
    return HTMLResponse(content, status, {**OF_PAGES, **(headers or {})})


def render_text(template: str, values: Mapping[str, Any]) -> str:
    """Return a filled template as text."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "color_number": color_number,
        "entries": ENTRIES,
        "static": url_of,
        "path_of": path_of,
        "url_with": url_with,
        "visitor": get_visitor,
        "with_value": with_value,
    }
    environment.filters |= {**formatting.FILTERS, "turn_text": turn_to_text}
    return environment
