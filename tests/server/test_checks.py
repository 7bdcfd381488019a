"""What the receiver checks before it reads a body, and its routes for operators."""

from __future__ import annotations

import os
from concurrent.futures import Future

import httpx
import pytest
from dirty_equals import IsStr
from prometheus_client.parser import text_string_to_metric_families

from openpipe_report.server.app import ANY_HOST, create_app
from openpipe_report.server.limits import Limits
from openpipe_report.server.store import (
    IdempotencyConflictError,
    Store,
    StoreUnavailableError,
)

PATH = "/api/v1/report"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


def client_of(app, host="127.0.0.1:8417"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8417", 200),
        ("127.8.9.10", 200),
        ("[::1]:8417", 200),
        ("LOCALHOST:8417", 200),
        ("localhost.:8417", 200),
        ("receiver.internal:8417", 200),
        ("attacker.example:8417", 421),
        ("127.0.0.1.attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("0.0.0.0:8417", 421),
        ("192.168.1.2:8417", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_host(store, host, method, status):
    """On loopback a request for another host is refused, whatever it asks for."""
    app = create_app(store, allowed_hosts=["Receiver.internal"])
    path = "/healthz" if method == "GET" else PATH
    async with client_of(app) as http:
        headers = {"Host": host, **JSON}
        answer = await http.request(method, path, content=b"{}", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "MISDIRECTED_REQUEST"


async def test_any_host(store):
    """A receiver beyond loopback takes any Host, since it cannot know its own names."""
    async with client_of(create_app(store, allowed_hosts=ANY_HOST), "receiver.example") as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_two_hosts(store):
    """A request with two Hosts is refused."""
    async with client_of(create_app(store)) as http:
        headers = [("Host", "localhost"), ("Host", "attacker.example")]
        answer = await http.get("/healthz", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "headers, status",
    [
        pytest.param({}, 200, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="typed by the user"),
        pytest.param({"Origin": "http://127.0.0.1:8417"}, 200, id="own origin"),
        pytest.param({"Origin": "https://127.0.0.1:8417"}, 200, id="own origin behind TLS"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="other site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="other port or subdomain"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="other origin"),
        pytest.param({"Origin": "http://127.0.0.1:3000"}, 403, id="other port"),
        pytest.param({"Origin": "null"}, 403, id="opaque origin"),
        pytest.param({"Origin": "file://127.0.0.1:8417"}, 403, id="other scheme"),
        pytest.param(
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403, id="form post"
        ),
    ],
)
async def test_site(store, headers, status):
    """A report that a browser sends for a page of another site is refused and not stored."""
    async with client_of(create_app(store)) as http:
        answer = await http.post(PATH, content=b"{}", headers={**JSON, **headers})
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "FORBIDDEN"
    assert store.count() == (status == 200)


@pytest.mark.parametrize("dest, status", [("document", 200), ("iframe", 403), ("empty", 403)])
async def test_followed_link(store, dest, status):
    """A link from another site may be followed; its pages may not embed or fetch anything."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": dest}
    async with client_of(create_app(store)) as http:
        assert (await http.get("/healthz", headers=headers)).status_code == status


@pytest.mark.parametrize(
    "content_type, status",
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain;charset=UTF-8", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
async def test_content_type(store, content_type, status):
    """A body must be said to be JSON: a page of another site cannot say that without asking."""
    async with client_of(create_app(store)) as http:
        answer = await http.post(PATH, content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert store.count() == (status == 200)


class FailingStore(Store):
    """A store whose commits fail."""

    error: Exception

    def add_prepared(self, prepared, *, idempotency_key=None, project=None):
        failed = Future()
        failed.set_exception(self.error)
        return failed

    def update_metadata(self, filters, changes, *, project):
        return self.add_prepared(None)


@pytest.mark.parametrize(
    "path, body",
    [("report", b"{}"), ("logs/update-metadata", b'{"filters": [], "metadata": {}}')],
)
@pytest.mark.parametrize(
    "error, status, code, retry_after",
    [
        (StoreUnavailableError("database is locked"), 503, "SERVICE_UNAVAILABLE", "5"),
        (IdempotencyConflictError("the key belongs to another report"), 409, "CONFLICT", None),
        (RuntimeError("a bug"), 500, "INTERNAL_SERVER_ERROR", None),
    ],
    ids=["unavailable", "conflict", "bug"],
)
async def test_failed_commit(tmp_path, error, status, code, retry_after, path, body):
    """What is not committed is not acknowledged; the answer says what can be done."""
    with FailingStore(tmp_path / "reports.db") as store:
        store.error = error
        async with client_of(create_app(store)) as http:
            answer = await http.post(f"/api/v1/{path}", content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.json() == {"message": IsStr, "code": code, "issues": [{"message": IsStr}]}
    assert answer.headers.get("Retry-After") == retry_after


async def test_failing_route(store):
    """A bug of a route is answered with 500 in the API's shape, counted once, and raised."""
    app = create_app(store)
    app.others.add_api_route("/fail", lambda: 1 / 0, methods=["GET"])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/fail")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert app.traffic.answers == {("other", 500): 1}
    async with client_of(app) as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("/fail")


async def test_health(store, tmp_path):
    """Health checks need no key; the receiver is ready while its database can be used."""
    async with client_of(create_app(store, api_key="k")) as http:
        for path in ("/healthz", "/readyz"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert (await http.head("/healthz")).status_code == 200
        (tmp_path / "reports.db").write_bytes(b"no database" * 1_000)
        (tmp_path / "reports.db-wal").unlink(missing_ok=True)
        store.close()
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert (await http.get("/healthz")).status_code == 200


async def test_not_ready_without_its_file(store):
    """A receiver whose file was removed is not ready: nothing could be stored."""
    async with client_of(create_app(store)) as http:
        assert (await http.get("/readyz")).status_code == 200
        os.unlink(store.name)  # noqa: PTH108 - a coroutine
        assert (await http.get("/readyz")).status_code == 503


async def test_metrics(store):
    """The metrics count answers by route and status, need the key, and show nothing of reports."""
    app = create_app(store, api_key="k", limits=Limits(max_body_bytes=100))
    key = {"Authorization": "Bearer k"}
    async with client_of(app) as http:
        await http.post(PATH, content=b'{"tags": {"secret": 1}}', headers={**JSON, **key})
        await http.post(PATH, content=b"{}", headers=JSON)
        await http.post(PATH, content=b" " * 101, headers={**JSON, **key})
        await http.post("/secret", content=b"{}", headers={**JSON, **key})
        assert (await http.get("/metrics")).status_code == 401
        answer = await http.get("/metrics", headers=key)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "secret" not in answer.text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    expected = {
        ("openpipe_report_requests_total", PATH, "200"): 1,
        ("openpipe_report_requests_total", PATH, "401"): 1,
        ("openpipe_report_requests_total", PATH, "413"): 1,
        ("openpipe_report_requests_total", "other", "404"): 1,
        ("openpipe_report_requests_total", "/metrics", "401"): 1,
        ("openpipe_report_reports_total",): 1,
        ("openpipe_report_refused_total", "401"): 1,
        ("openpipe_report_refused_total", "404"): 1,
        ("openpipe_report_refused_total", "413"): 1,
        ("openpipe_report_body_bytes",): 0,
        ("openpipe_report_connections",): 0,
    }
    assert {name: samples.get(name) for name in expected} == expected
