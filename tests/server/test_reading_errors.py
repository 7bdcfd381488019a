"""Requests to read that are answered with an error."""

from __future__ import annotations

import httpx
import pytest
from dirty_equals import IsStr

from openpipe_report.server.app import create_app
from openpipe_report.server.store import Store

API = "/api/v1"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store") / "reports.db") as opened:
        yield opened


async def get(store, path, **options):
    transport = httpx.ASGITransport(create_app(store, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.get(f"{API}{path}")


@pytest.mark.parametrize("path", ["/reports/1", "/reports/chat", "/traces/t9", "/stats/1"])
async def test_not_found(store, path):
    """What is not stored is answered 404 in the API's shape."""
    answer = await get(store, path)
    assert answer.status_code == 404
    assert answer.json() == {"message": IsStr, "code": "NOT_FOUND", "issues": [{"message": IsStr}]}


TIME = "must be Unix milliseconds, an ISO 8601 time, or an age such as 30m, 1h or 7d"
NUMBER = "must be a number that is not negative"
LIMIT = "must be a whole number from 1 to 1,000"


@pytest.mark.parametrize(
    "path, query, issue",
    [
        ("/reports", "since=yesterday", f"since: {TIME}"),
        ("/reports", "until=2026-13-01", f"until: {TIME}"),
        ("/reports", "since=-1", f"since: {TIME}"),
        ("/reports", "model=", "model: must have 1 to 200 characters"),
        ("/reports", f"text={'x' * 1001}", "text: must have 1 to 1,000 characters"),
        (
            "/reports",
            "status=6yy",
            "status: must be a status such as 429, or a class such as 5xx",
        ),
        ("/reports", "error=yes", "error: must be one of true, false"),
        ("/reports", "min_cost=-1", f"min_cost: {NUMBER}"),
        ("/reports", "min_cost=nan", f"min_cost: {NUMBER}"),
        ("/reports", "min_ms=1e999", f"min_ms: {NUMBER}"),
        ("/reports", "min_ms=1_0", f"min_ms: {NUMBER}"),
        ("/reports", "limit=0", f"limit: {LIMIT}"),
        ("/reports", "limit=1001", f"limit: {LIMIT}"),
        ("/reports", f"limit={'9' * 5_000}", f"limit: {LIMIT}"),
        ("/reports", "after=x", "after: must be the `next` of the page before"),
        ("/reports", "limit=1&limit=2", "limit: must be given once"),
        ("/reports", "metadata.a=1&metadata.a=2", "metadata.a: must be given once"),
        ("/reports", "metadata.=1", "metadata.NAME: NAME must have 1 to 200 characters"),
        ("/reports", f"metadata.a={'x' * 1_001}", "metadata.a: must have at most 1,000 characters"),
        (
            "/reports",
            "&".join(f"metadata.{number}=" for number in range(21)),
            "metadata: at most 20 labels",
        ),
        (
            "/reports",
            "modle=x",
            IsStr(regex="modle: unknown parameter; there is project, since, .*limit.*"),
        ),
        ("/reports", "by=model", IsStr(regex="by: unknown parameter; .*")),
        ("/stats", "limit=1", IsStr(regex="limit: unknown parameter; .*metadata.NAME, by, bucket")),
        ("/stats", "by=price", IsStr(regex="by: must be model, .* or metadata.NAME")),
        ("/stats", "by=metadata.", IsStr(regex="by: must be model, .* or metadata.NAME")),
        ("/stats", "bucket=week", "bucket: must be one of minute, hour, day"),
        ("/reports/1", "payloads=true", "payloads: unknown parameter; there is none"),
        ("/traces/t1", "limit=1", "limit: unknown parameter; there is none"),
    ],
)
async def test_wrong_parameter(store, path, query, issue):
    """A wrong parameter is answered 400; the issue names it and what it must be."""
    answer = await get(store, f"{path}?{query}")
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "The query is not valid",
        "code": "BAD_REQUEST",
        "issues": [{"message": issue}],
    }


async def test_method(store):
    """Another method is answered 405 in the API's shape; HEAD is answered as GET."""
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.delete(f"{API}/reports/1")
        assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
        assert (await http.head(f"{API}/reports")).status_code == 200


async def test_key(store):
    """Reading needs the API key."""
    answer = await get(store, "/reports", api_key="k")
    assert answer.status_code == 401
