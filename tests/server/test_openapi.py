"""The receiver does what `/openapi.json` says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

REPORTS = [
    {"requestedAt": 1, "receivedAt": 2, "statusCode": 200, "tags": {"user": "u", "$trace_id": "0"}},
    {"reqPayload": {"model": "gpt-4o"}, "respPayload": {"id": "0"}, "errorMessage": "\ud800"},
]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
TIMEOUT = 200.0

BODIES = {
    "/api/v1/logs/update-metadata": {"filters": [], "metadata": {}},
    "/api/v1/logs/update-tags": {"filters": [], "tags": {}},
}
"""Bodies of operations that do not take an empty object."""


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        for report in REPORTS:
            opened.add(report).result()
        yield opened


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not installed")
def test_schemathesis(store, tmp_path):
    """Valid requests are answered as described, and all others are refused."""
    with serving(create_app(store)) as base_url:
        url = f"{base_url.removesuffix('/api/v1')}/openapi.json"
        options = ["--max-examples=20", "--generation-deterministic", "--no-color"]
        done = subprocess.run(
            [SCHEMATHESIS, "run", url, *options],
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout


async def test_paths(store):
    """Each described operation is there, and needs the API key as described."""
    app = create_app(store, api_key="k")
    key = {"Authorization": "Bearer k"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/openapi.json")).status_code == 401
        document = (await http.get("/openapi.json", headers=key)).json()
        operations = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        for path, method, operation in operations:
            is_open = operation.get("security", document["security"]) == []
            url = path.replace("{id}", "0")
            body = {"json": BODIES.get(path, {})} if "requestBody" in operation else {}
            answer = await http.request(method, url, **body)
            assert (answer.status_code == 401) != is_open, path
            answer = await http.request(method, url, **body, headers=key)
            assert answer.status_code == 200, path
    assert {path for path, _, operation in operations if operation.get("security") == []} == {
        "/healthz",
        "/readyz",
    }
    assert {"/api/v1/report", "/api/v1/reports/{id}", "/metrics"} <= set(document["paths"])
