"""The newest report for tests of clients, and the paths of a hosted service that are not here."""

from __future__ import annotations

from datetime import datetime, timezone

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.store import Store

LATEST = "/api/v1/local-testing-only-get-latest-logged-call"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


def client(store, address="127.0.0.1", **options):
    transport = httpx.ASGITransport(create_app(store, **options), client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


REPORT = {
    "requestedAt": 1,
    "statusCode": 404,
    "errorMessage": "no such model",
    "reqPayload": {"messages": ["\ud800"], "metadata": {"a": "b", "n": 7, "gone": "x"}},
    "respPayload": [None, 10**30],
    "tags": {"$sdk": "python", "a": "c", "flag": True, "nothing": None},
}
LABELS = {"$sdk": "python", "a": "b", "n": "7", "flag": "true"}


@pytest.mark.parametrize(
    "report, expected",
    [
        pytest.param(
            REPORT,
            {
                "cacheHit": False,
                "statusCode": 404,
                "errorMessage": "no such model",
                "reqPayload": REPORT["reqPayload"],
                "respPayload": REPORT["respPayload"],
                "tags": LABELS,
                "metadata": LABELS,
            },
            id="all fields",
        ),
        pytest.param(
            {},
            {
                "cacheHit": False,
                "statusCode": None,
                "errorMessage": None,
                "reqPayload": None,
                "respPayload": None,
                "tags": {},
                "metadata": {},
            },
            id="none",
        ),
    ],
)
async def test_latest(store, report, expected):
    """The newest report has its payloads as posted, and its labels as feedback left them."""
    store.add({"requestedAt": 10**12}).result()
    before = datetime.now(timezone.utc)
    store.add(report).result()
    store.update_metadata([], {"gone": None}).result()
    async with client(store, local_testing=True) as http:
        answer = await http.get(LATEST)
    found = answer.json()
    created = datetime.fromisoformat(found.pop("createdAt"))
    assert abs((created - before).total_seconds()) < 60
    assert (answer.status_code, found) == (200, expected)


async def test_latest_of_none(store):
    """Without a report the answer is null."""
    async with client(store, local_testing=True) as http:
        answer = await http.get(LATEST)
    assert (answer.status_code, answer.json()) == (200, None)


@pytest.mark.parametrize(
    "address, status",
    [
        ("127.0.0.1", 200),
        ("127.8.9.10", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.168.1.2", 403),
        ("::ffff:192.168.1.2", 403),
        ("fe80::1%eth0", 403),
        ("2001:db8::1", 403),
        ("not an address", 403),
    ],
)
async def test_loopback_only(store, address, status):
    """Clients on other machines cannot read the newest report."""
    async with client(store, address, local_testing=True) as http:
        answer = await http.get(LATEST)
    assert answer.status_code == status


async def test_needs_key(store):
    """Where an API key is set, the newest report needs it."""
    async with client(store, local_testing=True, api_key="k") as http:
        assert (await http.get(LATEST)).status_code == 401


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/api/v1/chat/completions"),
        ("POST", "/api/v1/check-cache"),
        ("POST", "/api/v1/criteria/judge"),
        ("GET", "/api/v1/datasets"),
        ("POST", "/api/v1/datasets/d/entries"),
        ("GET", "/api/v1/models"),
        ("DELETE", "/api/v1/models/m"),
        ("POST", "/api/v1/unstable/finetune/create"),
        ("GET", LATEST),
    ],
)
async def test_not_here(store, method, path):
    """Paths of a hosted service are answered with a 404 that says what the receiver is."""
    async with client(store) as http:
        answer = await http.request(method, path, json=None if method == "GET" else {})
    message = (
        "There is no such path: this receiver stores reports (POST /api/v1/report) and runs no "
        "models"
    )
    assert answer.status_code == 404
    assert answer.json() == {
        "message": message,
        "code": "NOT_FOUND",
        "issues": [{"message": message}],
    }
