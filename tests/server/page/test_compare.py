"""Two reports side by side: what is paired, what is marked, what is bounded."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.page.comparison import MAX_TURNS

BROWSER = {"Accept": "text/html"}


def call(answer, *asked, model="m1", **parameters):
    messages = [{"role": "user", "content": text} for text in asked]
    return {
        "requestedAt": 1_700_000_000_000,
        "receivedAt": 1_700_000_000_500,
        "statusCode": 200,
        "reqPayload": {"model": model, "messages": messages, **parameters},
        "respPayload": {
            "id": f"chatcmpl-{model}",
            "choices": [
                {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
            ],
        },
        "tags": {"$endpoint": "chat/completions"},
    }


@pytest.fixture
async def get(store):
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def get(path):
            return await http.get(path, headers=BROWSER)

        yield get


@pytest.fixture
async def compared(store, get):
    """Return a function that compares two reports and returns the page on one line."""

    async def compared(*reports):
        for report in reports:
            store.add(report).result()
        answer = await get("/compare?a=1&b=2")
        assert answer.status_code == 200
        return " ".join(answer.text.split())

    return compared


async def test_marks(compared):
    """The words that differ are marked, on both sides, in answers, prompts and parameters."""
    text = await compared(
        call("It takes two days.", "Be brief.", "How long?", temperature=0.5),
        call("It takes nine days.", "Be brief.", "How long exactly?", model="m2", top_p=1),
    )
    assert "It takes <del>two</del> days." in text
    assert "It takes <ins>nine</ins> days." in text
    assert "How long<ins> exactly</ins>?" in text
    assert re.search(r"temperature</p>.*<del>0.5</del>", text)
    assert re.search(r"top_p</p>.*<ins>1</ins>", text)
    assert "Be brief.</div>" in re.sub(r"</?span>", "", text)
    assert '<tr class="differs"> <th scope="row">Model</th><td>m1</td><td>m2</td>' in text
    assert '<tr> <th scope="row">Duration</th>' in text


async def test_inserted_message(compared):
    """A message that only one has shifts none of the others."""
    text = await compared(call("x", "one", "two", "three"), call("x", "one", "new", "two", "three"))
    assert text.count("<ins>") == 1
    assert "<ins>new</ins>" in text
    assert "<del>" not in text


async def test_equal(compared):
    """Of two equal reports nothing is marked, and long texts are folded."""
    text = await compared(call("long " * 100, "a"), call("long " * 100, "a"))
    assert "<ins>" not in text
    assert "<del>" not in text
    assert "the same, 500 characters" in text


async def test_kinds(compared):
    """Spans, errors and tools are compared too."""
    span = {
        "reqPayload": {"name": "search", "args": [1]},
        "respPayload": {"found": 3},
        "tags": {"$endpoint": "span"},
    }
    failed = {**call("x"), "respPayload": None, "statusCode": 500, "errorMessage": "no luck"}
    text = await compared(span, failed)
    assert "no luck" in re.sub(r"</?(del|ins)>", "", text)
    assert "search" in text


async def test_by_completion_id(store, get):
    """Reports are named by their completion id too; the other side can be filled in later."""
    for model in ("m1", "m2"):
        store.add(call("x", model=model)).result()
    assert (await get("/compare?a=chatcmpl-m1&b=chatcmpl-m2")).status_code == 200
    assert 'value="chatcmpl-m1"' in (await get("/compare?a=chatcmpl-m1")).text
    assert (await get("/compare")).status_code == 200


@pytest.mark.parametrize(
    "query, status",
    [
        ("a=1&b=99", 404),
        ("a=%00&b=1", 404),
        ("id=1", 303),
        ("a=1", 200),
        ("id=1&id=1&id=1", 400),
        ("c=1", 400),
        ("a=1&b=1", 200),
        ("a=1&b=99999999999999999999999999", 404),
    ],
)
async def test_wrong(store, get, query, status):
    """A wrong choice is said."""
    store.add(call("x")).result()
    assert (await get(f"/compare?{query}")).status_code == status


async def test_chosen_from_the_list(get):
    """The checkboxes of the list lead to the comparison."""
    answer = await get("/compare?id=7&id=5")
    assert (answer.status_code, answer.headers["location"]) == (303, "/compare?a=7&b=5")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda side: call(f"{side} " * 2_000_000, "x"), id="long answer"),
        pytest.param(lambda side: call("x", *([f"{side} is"] * 20_000)), id="many messages"),
        pytest.param(
            lambda side: call("x", **{f"p{side}{n}": n for n in range(5_000)}), id="many parameters"
        ),
        pytest.param(lambda side: call([side] * 400_000), id="many values"),
    ],
)
async def test_large(compared, make):
    """Large reports are compared in part, in bounded time and size."""
    began = time.process_time()
    text = await compared(make("a"), make("b"))
    assert time.process_time() - began < 15
    assert len(text) < 3_000_000


async def test_many_messages(compared):
    """Of many messages the last ones are compared, and the page says so."""
    asked = [str(number) for number in range(MAX_TURNS + 7)]
    text = await compared(call("x", *asked), call("x", *asked))
    assert "14 earlier messages are not compared" in text


async def test_hostile(compared):
    """Whatever a report has is text."""
    evil = "<script>alert(1)</script>\0\x1b\ud800</del>"
    text = await compared(call(evil, evil, **{evil: evil}), call("x", "y", model=evil))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


async def test_projects(store):
    """A key compares reports of its project alone."""
    _, key = store.keys.create("r", project="a", scope="read")
    store.add(call("x"), project="a").result()
    store.add(call("x"), project="b").result()
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        headers = {**BROWSER, "Authorization": f"Bearer {key}"}
        assert (await http.get("/compare?a=1&b=1", headers=headers)).status_code == 200
        assert (await http.get("/compare?a=1&b=2", headers=headers)).status_code == 404
