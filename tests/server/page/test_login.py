"""Logging in with a key: who may, what is kept of it, and what forms must have."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import httpx
import pytest

from openpipe_report.server.app import create_app

BROWSER = {"Accept": "text/html", "Origin": "http://localhost"}


@pytest.fixture
async def open_http(store):
    """Return a function that opens a browser without script."""
    opened = []

    async def open_http(**options):
        transport = httpx.ASGITransport(create_app(store, **options))
        http = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=BROWSER)
        opened.append(http)
        return http

    yield open_http
    for http in opened:
        await http.aclose()


def token_in(text):
    return re.search(r'name="token" value="(\w+)"', text)[1]


async def send(http, path, **fields):
    token = token_in((await http.get("/login")).text)
    return await http.post(path, data={"token": token, **fields})


async def test_round(open_http):
    """A visitor is asked for a key, is sent back to where they wanted to go, and can log out."""
    http = await open_http(api_key="k1")
    wanted = "/charts?model=a%26b&by=model"
    asked = await http.get(wanted)
    assert (asked.status_code, asked.headers["cache-control"]) == (303, "no-store")
    assert asked.headers["location"] == f"/login?{urlencode({'next': wanted})}"
    form = await http.get(asked.headers["location"])
    assert form.status_code == 200
    assert 'value="/charts?model=a%26b&amp;by=model"' in form.text
    answer = await send(http, "/login", key="k1", next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert "k1" not in cookie
    inside = await http.get("/")
    assert inside.status_code == 200
    assert (await http.get("/login")).headers["location"] == "/"
    out = await http.post("/logout", data={"token": token_in(inside.text)})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert (await http.get("/")).status_code == 303


async def test_logged_out_everywhere(open_http):
    """After logging out the cookie is worth nothing, wherever it was copied to."""
    http = await open_http(api_key="k1")
    await send(http, "/login", key="k1")
    copied = dict(http.cookies)
    page = await http.get("/")
    await http.post("/logout", data={"token": token_in(page.text)})
    http.cookies.update(copied)
    assert (await http.get("/")).status_code == 303


@pytest.mark.parametrize("key", ["", "k", "k11", "K1", "\N{GRINNING FACE}", "k1\0"])
async def test_wrong_key(open_http, key):
    """A wrong key opens nothing, and is not shown again."""
    http = await open_http(api_key="k1")
    answer = await send(http, "/login", key=key)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "This key is wrong" in answer.text
    assert (await http.get("/")).status_code == 303


async def test_scopes(open_http, store):
    """A key that may not read opens nothing; one that may sees its own project."""
    _, writing = store.keys.create("w", project="a", scope="write")
    _, reading = store.keys.create("r", project="a", scope="read")
    store.add({"reqPayload": {"model": "of-a"}}, project="a").result()
    store.add({"reqPayload": {"model": "of-b"}}, project="b").result()
    http = await open_http()
    refused = await send(http, "/login", key=writing)
    assert "may store reports, and not read them" in refused.text
    assert (await send(http, "/login", key=reading)).status_code == 303
    text = (await http.get("/charts")).text
    assert "of-a" in text
    assert "of-b" not in text


async def test_revoked_key(open_http, store):
    """A session ends with its key."""
    key, secret = store.keys.create("r", project="default", scope="read")
    store.keys.create("other", project="default", scope="admin")
    http = await open_http()
    await send(http, "/login", key=secret)
    assert (await http.get("/")).status_code == 200
    store.keys.revoke([key.id])
    app = http._transport.app
    app._authenticator._read_at = float("-inf")
    assert (await http.get("/")).status_code == 303


async def test_no_key(open_http):
    """Where no key is asked for, neither is a visitor."""
    http = await open_http()
    assert (await http.get("/login?next=/charts")).headers["location"] == "/charts"
    assert "Log out" not in (await http.get("/")).text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "",
        "/a\nb",
        "/%\0",
        "javascript:1",
    ],
)
async def test_no_redirect_elsewhere(open_http, path):
    """After logging in, nobody is sent to another site."""
    http = await open_http(api_key="k1")
    assert (await send(http, "/login", key="k1", next=path)).headers["location"] == "/"


@pytest.mark.parametrize(
    "fields",
    [{"key": "k1"}, {"key": "k1", "token": "x"}, {"key": "k1", "token": ""}],
)
async def test_no_token(open_http, fields):
    """A form without the visitor's token is refused, the right key or not."""
    http = await open_http(api_key="k1")
    answer = await http.post("/login", data=fields)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_token_of_another_session(open_http):
    """The token of before logging in is not the session's."""
    http = await open_http(api_key="k1")
    before = token_in((await http.get("/login")).text)
    await send(http, "/login", key="k1")
    assert (await http.post("/logout", data={"token": before})).status_code == 403
    assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
async def test_other_sites(open_http, headers):
    """A page of another site can neither log in nor out."""
    http = await open_http(api_key="k1")
    token = token_in((await http.get("/login")).text)
    for path in ("/login", "/logout"):
        data = {"token": token, "key": "k1"}
        assert (await http.post(path, data=data, headers=headers)).status_code == 403


async def test_api_takes_no_cookie(open_http):
    """The API and programs are asked for the key itself."""
    http = await open_http(api_key="k1")
    await send(http, "/login", key="k1")
    assert (await http.get("/api/v1/reports")).status_code == 401
    key = {"Authorization": "Bearer k1"}
    assert (await http.get("/api/v1/reports", headers=key)).status_code == 200
    http.cookies.clear()
    assert (await http.get("/", headers={"Accept": "*/*"})).status_code == 401
    assert (await http.get("/", headers=key)).status_code == 200
    assert (await http.get("/charts/calls.svg", headers={"Accept": "image/*"})).status_code == 401


@pytest.mark.parametrize(
    "content, kind, status",
    [
        (b"a=1", "text/plain", 415),
        (b"a=1", "application/json", 415),
        (b"&".join(b"a=%d" % n for n in range(200)), "application/x-www-form-urlencoded", 400),
        (b"a" * (5 * 2**20), "application/x-www-form-urlencoded", 413),
        (b"%ff%fe=\xff&token", "application/x-www-form-urlencoded", 403),
    ],
)
async def test_wrong_forms(open_http, content, kind, status):
    """A body that is no form, or a huge one, is refused."""
    http = await open_http(api_key="k1")
    answer = await http.post("/login", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
