from __future__ import annotations

import time

import pytest

from openpipe_report._reading import open_source
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

FIRST = 1_700_000_000_000
COUNT = 1_205


def make_report(number):
    """Return the report with this number: every third one fails."""
    status = 500 if number % 3 == 0 else 200
    return {
        "requestedAt": FIRST + number * 1_000,
        "receivedAt": FIRST + number * 1_000 + 100,
        "statusCode": status,
        "reqPayload": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": f"word{number % 5}"}],
            "metadata": {"user": f"u{number % 7}", "n": number},
        },
        "respPayload": {"id": f"chat/{number}", "model": "gpt-4o-2024", "usage": {}},
        "tags": {"$endpoint": "chat/completions", "$trace_id": f"t{number // 10}"},
    }


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """The path of a database with reports whose numbers are their ids."""
    path = tmp_path_factory.mktemp("reading") / "reports.db"
    with Store(path) as store:
        for added in [store.add(make_report(number)) for number in range(1, COUNT + 1)]:
            added.result()
        while store.queries.unindexed():
            time.sleep(0.01)
    return path


@pytest.fixture(scope="session")
def receiver(stored):
    """The URL of a receiver over that database."""
    with Store(stored, read_only=True) as store, serving(create_app(store)) as url:
        yield url


@pytest.fixture(params=["local", "remote"])
def source(request):
    """The same reports, read from the file and over HTTP."""
    name = "stored" if request.param == "local" else "receiver"
    with open_source(request.getfixturevalue(name)) as opened:
        yield opened
