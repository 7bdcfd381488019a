"""Reading stored reports over HTTP: lists, single reports, traces and statistics."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import httpx
import pytest
from dirty_equals import IsPartialDict

from openpipe_report.server.app import create_app
from openpipe_report.server.routes import reading
from openpipe_report.server.store import Store, statistics

API = "/api/v1"
DAY = 86_400_000
FIRST = 1_700_000_000_000
FIRST_DAY = FIRST // DAY * DAY
TEXTS = ["a café refund", "東京の天気", "plain words", "more words", "words", "none"]
REPORTS = [
    {
        "requestedAt": FIRST + number * DAY,
        "receivedAt": FIRST + number * DAY + 100 * number,
        "statusCode": (200, 200, 429, 500, 200, 503)[number],
        "reqPayload": {
            "model": ("gpt-4o", "other")[number % 2],
            "messages": [{"role": "user", "content": TEXTS[number]}],
            "metadata": {"user": f"u{number % 3}", "n": number, "a.b": "", "é +&": "=%"},
        },
        "respPayload": {
            "id": f"chat/{number}",
            "model": f"answered-{number}",
            "usage": {"prompt_tokens": 10, "completion_tokens": number},
        },
        "tags": {
            "$endpoint": ("chat/completions", "responses")[number // 3],
            "$trace_id": f"t{number // 2}",
        },
    }
    for number in range(6)
]
ALL = [6, 5, 4, 3, 2, 1]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A store with six reports, the ids of which are their numbers and one."""
    with Store(tmp_path_factory.mktemp("store") / "reports.db") as store:
        for report in REPORTS:
            store.add(report).result()
        while store.queries.unindexed():
            time.sleep(0.01)
        yield store


async def get(store, path, params=None, **options):
    transport = httpx.ASGITransport(create_app(store, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.get(f"{API}{path}", params=params)


def iso(number):
    return datetime.fromtimestamp((FIRST + number * DAY) / 1_000, timezone.utc).isoformat()


@pytest.mark.parametrize(
    "params, ids",
    [
        ({}, ALL),
        ({"since": FIRST + 2 * DAY}, [6, 5, 4, 3]),
        ({"since": iso(2), "until": iso(4)}, [4, 3]),
        ({"since": "2023-11-17"}, [6, 5, 4]),
        ({"since": "2023-11-18T22:13:20Z"}, [6, 5]),
        ({"since": "2023-11-19T00:13:20+02:00"}, [6, 5]),
        ({"since": "2023-11-19T00:13:20 02:00"}, [6, 5]),
        ({"until": "1h"}, ALL),
        ({"since": "30m"}, []),
        ({"model": "gpt-4o"}, [5, 3, 1]),
        ({"model": "answered-3"}, [4]),
        ({"endpoint": "responses"}, [6, 5, 4]),
        ({"status": "429"}, [3]),
        ({"status": "5xx"}, [6, 4]),
        ({"status": "2XX"}, [5, 2, 1]),
        ({"error": "true"}, [6, 4, 3]),
        ({"error": "false"}, [5, 2, 1]),
        ({"metadata.user": "u1"}, [5, 2]),
        ({"metadata.n": "3"}, [4]),
        ({"metadata.a.b": ""}, ALL),
        ({"metadata.é +&": "=%"}, ALL),
        ({"metadata.user": "u1", "metadata.n": "4"}, [5]),
        ({"trace": "t1"}, [4, 3]),
        ({"text": "REFUND cafe"}, [1]),
        ({"text": "天気"}, [2]),
        ({"min_ms": "250.5"}, [6, 5, 4]),
        ({"min_cost": "0"}, [5, 3, 1]),
        ({"min_cost": "1e3"}, []),
        ({"limit": "2"}, [6, 5]),
        ({"error": "true", "text": "words", "min_ms": 1, "status": 500}, [4]),
    ],
)
async def test_filters(full, params, ids):
    """A list has the reports for which all conditions hold, the newest first."""
    answer = await get(full, "/reports", params)
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()["data"]] == ids


@pytest.mark.parametrize(
    "order, pages",
    [
        ({}, [[6, 5, 4, 3], [2, 1]]),
        ({"order": "newest"}, [[6, 5, 4, 3], [2, 1]]),
        ({"order": "oldest"}, [[1, 2, 3, 4], [5, 6]]),
    ],
)
async def test_pages(full, order, pages):
    """`next` leads through all reports in either order, and is null on the last page."""
    found, after = [], None
    while True:
        params = {"limit": 4, **order, **({} if after is None else {"after": after})}
        page = (await get(full, "/reports", params)).json()
        found.append([row["id"] for row in page["data"]])
        after = page["next"]
        if after is None:
            break
    assert found == pages


async def test_payloads(full):
    """A row has all columns and labels, and the report itself only on request."""
    row = (await get(full, "/reports", {"limit": 1})).json()["data"][0]
    assert row == full.queries.get_report(6, payloads=False).to_dict()
    assert "report" not in row
    row = (await get(full, "/reports", {"limit": 1, "payloads": "true"})).json()["data"][0]
    assert row == full.queries.get_report(6).to_dict()
    assert row["report"] == REPORTS[5]


async def test_large_pages(full, monkeypatch):
    """A page with payloads ends early where it would be too large; the next one goes on."""
    size = len((await get(full, "/reports/6")).content)
    monkeypatch.setattr(reading, "MAX_PAGE_BYTES", 2 * size)
    page = (await get(full, "/reports", {"payloads": "true", "limit": 5})).json()
    assert 0 < len(page["data"]) < 5
    ids = [row["id"] for row in page["data"]]
    page = (await get(full, "/reports", {"after": page["next"]})).json()
    assert ids + [row["id"] for row in page["data"]] == ALL


@pytest.mark.parametrize("wanted", ["2", "chat/1", "chat%2F1"])
async def test_single_report(full, wanted):
    """A report is found by its id and by its completion id."""
    answer = await get(full, f"/reports/{wanted}")
    assert answer.json() == full.queries.get_report(2).to_dict()


async def test_strange_characters(tmp_path):
    """Lone surrogates and NUL in payloads, labels and errors are answered as they are stored."""
    report = {"errorMessage": "\ud800\0", "tags": {"\udfff": "\ud800"}, "reqPayload": ["\ud800"]}
    with Store(tmp_path / "reports.db") as store:
        store.add(report).result()
        assert (await get(store, "/reports/1")).json()["report"] == report
        rows = (await get(store, "/stats", {"by": "error"})).json()["data"]
    assert rows == [IsPartialDict(calls=1, errors=1)]


@pytest.mark.parametrize(
    "path, params",
    [
        ("/reports", {"model": "a\0b"}),
        ("/reports", {"metadata.c\0": "d\0"}),
        ("/traces/e%00", {}),
    ],
)
async def test_unstorable_names(tmp_path, path, params):
    """What a database cannot hold is found as it was reported."""
    report = {
        "reqPayload": {"model": "a\0b", "metadata": {"c\0": "d\0"}},
        "tags": {"$trace_id": "e\0"},
    }
    with Store(tmp_path / "reports.db") as store:
        store.add(report).result()
        rows = (await get(store, path, params or None)).json()["data"]
    assert [row["id"] for row in rows] == [1]


async def test_long_completion_id(tmp_path):
    """A report is found by a completion id of any length."""
    with Store(tmp_path / "reports.db") as store:
        store.add({"respPayload": {"id": "x" * 1_000}}).result()
        assert (await get(store, f"/reports/{'x' * 1_000}")).json()["id"] == 1


async def test_trace(full):
    """A trace has its reports by the time at which they began."""
    rows = (await get(full, "/traces/t1")).json()["data"]
    assert rows == [full.queries.get_report(one, payloads=False).to_dict() for one in (3, 4)]


@pytest.mark.parametrize(
    "params, groups",
    [
        ({}, [(None, None, 6)]),
        ({"by": "endpoint"}, [(None, "chat/completions", 3), (None, "responses", 3)]),
        ({"by": "metadata.user", "error": "true"}, [(None, "u0", 1), (None, "u2", 2)]),
        ({"bucket": "day", "status": "5xx"}, [(FIRST_DAY + n * DAY, None, 1) for n in (3, 5)]),
    ],
)
async def test_stats(full, params, groups):
    """Statistics are of the reports that match, by time bucket and by a column or label."""
    rows = (await get(full, "/stats", params)).json()["data"]
    assert [(row["bucket"], row["group"], row["calls"]) for row in rows] == groups


async def test_too_many_groups(full, monkeypatch):
    """Statistics of more groups than an answer may have are refused, with what can be done."""
    monkeypatch.setattr(statistics, "MAX_GROUPS", 2)
    assert (await get(full, "/stats", {"by": "endpoint"})).status_code == 200
    answer = await get(full, "/stats", {"by": "metadata.user"})
    assert answer.status_code == 400
    assert "more than 2 groups: choose fewer reports" in answer.json()["message"]
