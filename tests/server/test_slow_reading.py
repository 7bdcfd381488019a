"""Queries beside reports: threads, errors of the database, counts."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.query_threads import MAX_QUERIES
from openpipe_report.server.store import Store

PATH = "/api/v1/report"
HANG_GUARD = 30.0


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        # One object for all projects, so that a test can put something in the place of a query.
        opened.queries.of_project = lambda _project: opened.queries
        yield opened


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


class Slow:
    """Takes the place of a query: waits until it is let go, and counts those that wait."""

    def __init__(self, query):
        self.query = query
        self.running = 0
        self.most = 0
        self.full = threading.Event()
        self.let_go = threading.Event()
        self.lock = threading.Lock()

    def __call__(self, *args, **options):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == MAX_QUERIES:
                self.full.set()
        assert self.let_go.wait(HANG_GUARD)
        with self.lock:
            self.running -= 1
        return self.query(*args, **options)


async def test_slow_queries(store, monkeypatch):
    """Slow queries run a few at a time, and hold up no report, health check or bad request."""
    slow = Slow(store.queries.stats)
    monkeypatch.setattr(store.queries, "stats", slow)
    async with client_of(create_app(store)) as http:
        asked = [asyncio.create_task(http.get("/api/v1/stats")) for _ in range(3 * MAX_QUERIES)]
        assert await asyncio.to_thread(slow.full.wait, HANG_GUARD)
        assert (await http.post(PATH, json={})).status_code == 200
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.get("/api/v1/stats?x=1")).status_code == 400
        assert not any(task.done() for task in asked)
        slow.let_go.set()
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200] * len(asked)
    assert slow.most == MAX_QUERIES


def test_stop_during_a_query(store, monkeypatch):
    """A receiver that is stopped does not wait for a query that goes on for long."""
    monkeypatch.setattr("openpipe_report.server.http.GRACE", 0)
    slow = Slow(lambda *_args, **_options: [])
    monkeypatch.setattr(store.queries, "stats", slow)
    answers = []
    with serving(create_app(store)) as url:

        def ask():
            answers.append(httpx.get(f"{url}/stats", timeout=HANG_GUARD))

        thread = threading.Thread(target=ask)
        thread.start()
        while not slow.running:
            threading.Event().wait(0.01)
    thread.join(HANG_GUARD)
    slow.let_go.set()
    assert answers[0].status_code == 503


@pytest.mark.parametrize("path", ["/reports", "/reports/1", "/traces/1", "/stats"])
async def test_unusable_database(store, monkeypatch, caplog, path):
    """A database that cannot be read is answered 503, and its error is logged."""

    def fail(*_args, **_options):
        raise OperationalError("SELECT secret", {}, Exception("disk I/O error"))

    for name in ("list_reports", "get_report", "get_trace", "stats"):
        monkeypatch.setattr(store.queries, name, fail)
    async with client_of(create_app(store)) as http:
        answer = await http.get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "5"
    assert "disk I/O error" in caplog.text
    assert "secret" not in answer.text


async def test_counts(store):
    """Requests to read are counted by their routes, not by the ids in their paths."""
    app = create_app(store)
    async with client_of(app) as http:
        for path in ("/reports", "/reports/1", "/reports/a/b", "/traces/t", "/stats?x=", "/x"):
            await http.get(f"/api/v1{path}")
    assert app.traffic.answers == {
        ("/api/v1/reports", 200): 1,
        ("/api/v1/reports/{id}", 404): 2,
        ("/api/v1/traces/{id}", 404): 1,
        ("/api/v1/stats", 400): 1,
        ("other", 404): 1,
    }


async def test_validation_error(store):
    """A request that FastAPI finds invalid is answered 400 in the API's shape."""
    app = create_app(store)

    def double(number: int) -> int:
        return 2 * number

    app.others.add_api_route("/double", double)
    async with client_of(app) as http:
        answer = await http.get("/double?number=secret")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["issues"][0]["message"].startswith("query.number: ")
    assert "secret" not in answer.text
