"""
The databases that the receiver's tests run on: SQLite files, and a PostgreSQL server; a Chromium.

Chromium is started anew for each module: while one runs, no asynchronous test can. So tests with it
are in modules of their own.
"""

from __future__ import annotations

import pytest
from support.chromium import chromium
from support.postgresql import QUICK, running_server

from openpipe_report.server.store import Store


def pytest_collection_modifyitems(items):
    """Mark the tests in Chromium, which take most of the time: `-m "not chromium"`."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("chromium")


@pytest.fixture(scope="module")
def browser():
    """Chromium, for which all names below .example are this machine."""
    with chromium("--host-resolver-rules=MAP *.example 127.0.0.1") as launched:
        yield launched


@pytest.fixture(scope="session")
def postgresql_server():
    """A PostgreSQL server of this test process, without `fsync`."""
    with running_server(*QUICK) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server):
    """The name of a database that has the tables."""
    name = postgresql_server.create_database()
    Store(postgresql_server.url(name)).close()
    return name


@pytest.fixture
def empty_postgresql(postgresql_server):
    """The URL of a new database without tables."""
    return postgresql_server.url(postgresql_server.create_database())


@pytest.fixture
def postgresql(make_postgresql):
    """The URL of a new database with the tables of an empty store."""
    return make_postgresql()


@pytest.fixture(scope="session")
def make_postgresql(request):
    """Create a database with the tables of an empty store, and return its URL."""

    def make():
        # Not fixtures of this one: a test on SQLite alone starts no server.
        server = request.getfixturevalue("postgresql_server")
        template = request.getfixturevalue("postgresql_template")
        return server.url(server.create_database(template))

    return make


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def source(request, tmp_path):
    """The path of a new SQLite file, and the URL of a new PostgreSQL database."""
    if request.param == "SQLite":
        return tmp_path / "reports.db"
    return request.getfixturevalue("make_postgresql")()
