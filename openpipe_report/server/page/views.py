"""The views of the site, in the order in which their paths are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report.server.page import (
    charts,
    compare,
    export,
    judging,
    judging_view,
    live,
    login,
    one_report,
    one_trace,
    report_list,
    static_files,
)
from openpipe_report.server.page.site import Site

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openpipe_report.server.page.services import Services
    from openpipe_report.server.query_threads import QueryThreads

_VIEWS = (
    *(static_files, report_list, live, one_report, one_trace),
    *(charts, compare, judging, judging_view, export, login),
)


def add_pages(app: FastAPI, threads: QueryThreads, services: Services) -> Site:
    """Add all views to an app that answers `ApiError`; return their site."""
    site = Site(app, threads, services)
    for view in _VIEWS:
        view.add_to(site)
    return site
