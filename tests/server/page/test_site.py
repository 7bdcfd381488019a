"""What holds for every page: headers, static files, errors."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from openpipe_report.server.app import create_app

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def wait_for_index(store):
    while store.queries.unindexed():
        time.sleep(0.01)


async def get(store, path, headers=BROWSER, **options):
    transport = httpx.ASGITransport(create_app(store, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/page.css", "/?modle=x"])
async def test_headers(store, path):
    """Every answer has a strict policy, and is neither framed nor guessed at."""
    headers = (await get(store, path)).headers
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'"
        in (headers["content-security-policy"])
    )
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


async def test_static_file(store):
    """A file under the hash of its content may be kept for ever; any is asked for by its ETag."""
    plain = await get(store, "/static/page.css")
    tag = plain.headers["etag"]
    assert plain.headers["content-type"] == "text/css; charset=utf-8"
    versioned = await get(store, f"/static/page.css?v={tag.strip(chr(34))}")
    assert "immutable" in versioned.headers["cache-control"]
    known = await get(store, "/static/page.css", {"If-None-Match": tag})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("name", ["none.css", "../page.py", "..%2f__init__.py", "page.py"])
async def test_no_other_file(store, name):
    """No other file of the package is served."""
    assert (await get(store, f"/static/{name}")).status_code == 404


async def test_error_page(store):
    """A browser gets an error as a page, a program as JSON."""
    page = await get(store, "/nowhere<script>")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<script>" not in page.text
    assert "<h1>Not Found</h1>" in page.text
    assert (await get(store, "/nowhere", {})).json()["code"] == "NOT_FOUND"
    assert (await get(store, "/api/v1/nowhere")).json()["code"] == "NOT_FOUND"
    assert (await get(store, "/metrics", api_key="k")).json()["code"] == "UNAUTHORIZED"


async def test_wrong_query(store):
    """A filter that cannot be read is said, as by the API."""
    answer = await get(store, "/?modle=%3Cb%3E")
    assert answer.status_code == 400
    assert "modle: unknown parameter" in answer.text


async def test_key(store):
    """Where a key is set, no page is shown without it; the style sheet is."""
    assert (await get(store, "/", api_key="k")).headers["location"] == "/login"
    assert (await get(store, "/", {}, api_key="k")).status_code == 401
    assert (await get(store, "/static/page.css", api_key="k")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/reports/1", "/raw/1", "/traces/t1", "/reports/answer-1", "/?text=secret"]
)
async def test_projects_are_apart(store, path):
    """A page has the reports of the key's project alone, and of none if the key may not read."""
    made = {
        "reqPayload": {"messages": [{"role": "user", "content": "a secret question"}]},
        "respPayload": {"id": "answer-1"},
        "tags": {"$trace_id": "t1"},
    }
    store.add(made, project="a").result()
    await asyncio.to_thread(wait_for_index, store)

    async def ask(project, scope):
        _, key = store.keys.create(f"{project} {scope}", project=project, scope=scope)
        return await get(store, path, {**BROWSER, "Authorization": f"Bearer {key}"})

    own, other, writing = await ask("a", "read"), await ask("b", "read"), await ask("a", "write")
    assert own.status_code == 200
    assert "answer-1" in own.text or "secret" in own.text or "/reports/1" in own.text
    assert other.status_code == (200 if path.startswith("/?") or path == "/" else 404)
    assert "secret question" not in other.text
    assert "/reports/1" not in other.text
    assert writing.status_code == 403
