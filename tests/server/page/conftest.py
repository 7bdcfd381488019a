"""A receiver with an empty store, and a page of Chromium to look at it with."""

from __future__ import annotations

import pytest
from support.chromium import watched_page

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


@pytest.fixture
def site(store):
    """The origin of a running receiver."""
    with serving(create_app(store)) as url:
        yield url.removesuffix("/api/v1")


@pytest.fixture
def page(browser, site):
    """A page that may ask nothing of another origin and violate no policy."""
    with watched_page(browser, origin=site, base_url=site) as opened:
        yield opened
