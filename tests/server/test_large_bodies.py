"""Bodies that are parsed in another process, and the bounds of what a body may hold."""

from __future__ import annotations

import asyncio
import json
import os

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bodies import die, parse_when_told

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.limits import Limits
from openpipe_report.server.nodes import has_more_nodes
from openpipe_report.server.store import Store

PATH = "/api/v1/report"
JSON = {"Content-Type": "application/json"}
ALL_LARGE = Limits(large_body_bytes=0, max_nodes=20)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


@pytest.fixture
def post(store):
    """Post bodies to an app for which every body is a large one."""
    app = create_app(store, limits=ALL_LARGE)

    async def post(body):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post(PATH, content=body, headers=JSON)

    yield post
    app.close()


EXACT = [
    b'{"reqPayload": "\\ud800 \\u0000 \xc3\xa9", "statusCode": 200}',
    b'{"reqPayload": [1e300, 0.1, -0.0, ' + b"9" * 4000 + b"]}",
    b'{"reqPayload": ' + b"[" * 19 + b"]" * 19 + b"}",
]


async def test_exact(store, post):
    """A large report is given back equal: integers, lone surrogates and NUL included."""
    for number, body in enumerate(EXACT, 1):
        assert (await post(body)).json() == {"status": "ok"}
        assert store.report(number) == json.loads(body)


@pytest.mark.parametrize(
    "body, status, message",
    [
        (b'{"statusCode": "200"}', 400, "not a valid report"),
        (b'{"reqPayload": 1e999}', 400, "range of a double"),
        (b'{"reqPayload": [', 400, "not valid JSON"),
        (b'{"reqPayload": [' + b"{}," * 20 + b"{}]}", 413, "more than 20 values"),
        (b'{"reqPayload": [' + b"0," * 30 + b"0]}", 413, "more than 20 values"),
        (b'{"reqPayload": "' + b"[,{" * 30 + b'"}', 200, ""),
        (b'{"reqPayload": ' + b"[" * 600 + b"]" * 600 + b"}", 413, "more than 20 values"),
    ],
    ids=["field", "range", "cut", "objects", "numbers", "commas in a text", "depth"],
)
async def test_refuses(store, post, body, status, message):
    """A large body is refused as a small one is, and for too many values before it is parsed."""
    answer = await post(body)
    assert answer.status_code == status
    assert message in answer.json().get("message", "")
    assert store.count() == (status == 200)


async def test_small_beside_large(store, tmp_path):
    """A small report is stored while a large one is still being parsed."""
    app = create_app(store, limits=Limits(large_body_bytes=10))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    large = asyncio.create_task(
        app.intake.store(str(pipe).encode(), "default", None, parse_when_told)
    )
    await app.intake.store(b"{}", "default", None)
    assert (store.count(), large.done()) == (1, False)
    await asyncio.to_thread(pipe.write_text, '{"statusCode": 201}')
    await large
    assert [one.status for one in store.recent()] == [None, 201]
    app.close()


async def test_many_large(store, post):
    """Large bodies that are sent at once are all stored."""
    answers = await asyncio.gather(*(post(b'{"statusCode": %d}' % n) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(row.status for row in store.recent()) == list(range(20))


async def test_killed_process(store):
    """If the process is killed, its body is answered with 503, and the next one is stored."""
    app = create_app(store, limits=ALL_LARGE)
    with pytest.raises(Exception, match="could not be parsed") as caught:
        await app.intake.store(b"{}", "default", None, die)
    assert caught.value.status == 503
    await app.intake.store(b'{"statusCode": 201}', "default", None)
    assert [row.status for row in store.recent()] == [201]
    app.close()


async def test_closed(store, tmp_path):
    """`close()` ends the body that is being parsed and those that wait: all get 503."""
    app = create_app(store, limits=ALL_LARGE)
    await app.intake.store(b"{}", "default", None)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    parsed = asyncio.create_task(
        app.intake.store(str(pipe).encode(), "default", None, parse_when_told)
    )
    waiting = [asyncio.create_task(app.intake.store(b"{}", "default", None)) for _ in range(3)]
    await asyncio.sleep(0)
    app.close()
    app.close()
    for error in await asyncio.gather(parsed, *waiting, return_exceptions=True):
        assert error.status == 503
    assert store.count() == 1
    with pytest.raises(Exception, match="stopping"):
        await app.intake.store(b"{}", "default", None)


JSON_VALUE = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a,{}[]"\\\n\u00e9'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet=',{["\\'), inner),
)


def count(value):
    """Return the arrays, objects and commas of a value's JSON."""
    if not isinstance(value, (list, dict)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(len(value) - 1, 0) + sum(map(count, inner))


@given(JSON_VALUE, st.booleans())
def test_counts_nodes(value, ascii_only):
    """Brackets and commas in strings are not counted, and no other one is missed."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert has_more_nodes(body, count(value) - 1)
    assert not has_more_nodes(body, count(value))


async def test_bytes_in_flight(store):
    """Bodies beyond the bound on all of them are refused with 503 until others are done."""
    app = create_app(store, limits=Limits(max_body_bytes=100, max_bytes_in_flight=150))
    sent_half, send_rest = asyncio.Event(), asyncio.Event()

    async def slow_body():
        yield b'{"statusCode": 1}'
        sent_half.set()
        await send_rest.wait()
        yield b" " * 83

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        slow = asyncio.create_task(
            http.post(PATH, content=slow_body(), headers={**JSON, "Content-Length": "100"})
        )
        await sent_half.wait()
        refused = await http.post(PATH, content=b" " * 51, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert refused.headers["Retry-After"] == "5"
        taken = await http.post(PATH, content=b'{"statusCode": 2}', headers=JSON)
        assert taken.status_code == 200
        send_rest.set()
        assert (await slow).status_code == 200
        taken = await http.post(PATH, content=b"{}" + b" " * 98, headers=JSON)
        assert taken.status_code == 200
    assert app.traffic.bytes_in_flight == 0


def test_large_over_http(store):
    """A body of megabytes is stored over a real socket, whole."""
    text = "\u00e9" * 3_000_000
    with serving(create_app(store)) as url:
        answer = httpx.post(f"{url}/report", json={"reqPayload": text}, timeout=60)
    assert answer.json() == {"status": "ok"}
    assert store.report(1) == {"reqPayload": text}
