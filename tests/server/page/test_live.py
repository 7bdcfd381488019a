"""Live rows over HTTP: what is sent, how many may listen, and how it ends."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import ExitStack

import httpx
import pytest
from support.page_reports import FIRST, asked, chat, report

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.page import live

TIMEOUT = 20.0


def events_of(lines):
    """Yield the id and content of each event."""
    found = None
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            found = value
        elif name == "data":
            yield int(found), json.loads(value)


def token_in(answer):
    return re.search(r'name="token" value="(\w+)"', answer.text)[1]


def listen(stack, site, **options):
    answer = stack.enter_context(
        httpx.stream("GET", f"{site}/live", timeout=TIMEOUT, verify=False, **options)
    )
    return answer, answer.iter_lines()


@pytest.mark.parametrize(
    "options, ids",
    [
        ({}, [3, 2, 1]),
        ({"params": {"after": "2"}}, [3]),
        ({"params": {"after": "1"}, "headers": {"Last-Event-ID": "2"}}, [3]),
        ({"params": {"model": "other"}}, [2]),
    ],
)
def test_events(store, site, options, ids):
    """An event has the rows that match and came after an id, the newest first."""
    for model in ("one", "other", "one"):
        store.add(report({"model": model}, None)).result()
    with ExitStack() as stack:
        answer, lines = listen(stack, site, **options)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        event_id, content = next(events_of(lines))
    assert event_id == ids[0]
    places = [content["html"].find(f'data-id="{one}"') for one in ids]
    assert places == sorted(places)
    assert places[0] >= 0
    assert (content["count"], content["gap"]) == (len(ids), False)


def test_many_reports(store, site):
    """Of many new reports the newest are sent, and that there may be more between."""
    for number in range(70):
        store.add(report(asked(str(number)), chat(), at=FIRST + number)).result()
    with ExitStack() as stack:
        _, lines = listen(stack, site)
        event_id, content = next(events_of(lines))
    assert (event_id, content["count"], content["gap"]) == (70, 50, True)


def test_too_many_connections(site):
    """More pages than are allowed are refused for now, and admitted when others have gone."""
    with ExitStack() as stack:
        listening = [listen(stack, site) for _ in range(live.MAX_CONNECTIONS)]
        for _, lines in listening:
            next(lines)
        answer, _ = listen(stack, site)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    deadline = time.monotonic() + TIMEOUT
    while True:
        with ExitStack() as stack:
            answer, _ = listen(stack, site)
            if answer.status_code == 200:
                break
        assert time.monotonic() < deadline


@pytest.mark.parametrize("end", ["revoke", "log out"])
def test_access_ends(store, site, end):
    """A connection ends when its key is revoked, and when its visitor logs out."""
    store.keys.create("other", project="default", scope="admin")
    key, secret = store.keys.create("reader", project="default", scope="read")
    with httpx.Client(base_url=site, timeout=TIMEOUT, follow_redirects=True) as client:
        token = token_in(client.get("/login"))
        inside = client.post("/login", data={"token": token, "key": secret})
        with client.stream("GET", "/live") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 2000"
            if end == "revoke":
                store.keys.revoke([key.id])
            else:
                client.post("/logout", data={"token": token_in(inside)})
            assert not any(line == ": nothing new" for line in lines)


def test_head(site):
    """HEAD is answered at once."""
    answer = httpx.head(f"{site}/live", timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("wrong", [{"params": {"after": "x"}}, {"headers": {"Last-Event-ID": "x"}}])
def test_wrong_id(site, wrong):
    """An id that is none is answered 400."""
    assert httpx.get(f"{site}/live", **wrong).status_code == 400


def test_server_stops(store):
    """A live page does not hold up the end of the server."""
    ended = threading.Event()
    with ExitStack() as stack:
        with serving(create_app(store)) as url:
            _, lines = listen(stack, url.removesuffix("/api/v1"))
            next(lines)

            def read_on():
                for _ in lines:
                    pass
                ended.set()

            reader = threading.Thread(target=read_on)
            reader.start()
            began = time.monotonic()
        took = time.monotonic() - began
        reader.join(TIMEOUT)
    assert ended.is_set()
    assert took < 3  # without an answer that goes on it takes a moment; the limit is 5
