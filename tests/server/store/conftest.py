"""A store in a new SQLite file, and in a new PostgreSQL database."""

from __future__ import annotations

import pytest

from openpipe_report.server.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reports.db"


@pytest.fixture
def store(source):
    with Store(source) as opened:
        yield opened


@pytest.fixture
def file_store(path):
    """A store in an SQLite file, for what is about files."""
    with Store(path) as opened:
        yield opened


@pytest.fixture
def newest(store):
    """Store a report and return its row."""

    def newest(report):
        store.add(report).result()
        return store.recent(1)[0]

    return newest
