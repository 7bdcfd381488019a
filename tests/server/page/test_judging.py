"""Feedback by forms: on one report, and on one after another."""

from __future__ import annotations

import re

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.page.judging_view import find_next
from openpipe_report.server.store import Filter

BROWSER = {"Accept": "text/html", "Origin": "http://localhost"}


def add(store, number=1, project="default", **labels):
    report = {
        "statusCode": 200,
        "reqPayload": {
            "model": "m",
            "messages": [{"role": "user", "content": f"Question {number}"}],
            "metadata": labels,
        },
        "respPayload": {
            "choices": [{"message": {"role": "assistant", "content": f"Answer {number}"}}]
        },
        "tags": {"$endpoint": "chat/completions"},
    }
    store.add(report, project=project).result()


@pytest.fixture
async def http(store):
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=BROWSER
    ) as opened:
        yield opened


def token_in(text):
    return re.search(r'name="token" value="(\w+)"', text)[1]


@pytest.fixture
def judge(http):
    """Send the form of a report, as its page does."""

    async def judge(report_id=1, **fields):
        token = token_in((await http.get("/judge?all=true")).text)
        return await http.post("/feedback", data={"token": token, "id": report_id, **fields})

    return judge


def labels_of(store, report_id=1):
    return store.queries.get_report(report_id).metadata


@pytest.mark.parametrize(
    "fields, labels",
    [
        ({"feedback": "up"}, {"feedback": "up"}),
        ({"feedback": "down", "comment": "", "corrected": ""}, {"feedback": "down"}),
        ({"comment": " too long \r\n really "}, {"comment": "too long \n really"}),
        ({"corrected": "x" * 150_000}, {"corrected": "x" * 150_000}),
        ({"label_name": " score ", "label_value": "5"}, {"score": "5"}),
        ({"label_name": "empty"}, {"empty": ""}),
        ({"label_name": " ", "label_value": "5"}, {}),
        ({"label_name": "<b>\0", "label_value": "\0"}, {"<b>\\x00": "\\x00"}),
        ({}, {}),
    ],
)
async def test_feedback(store, judge, fields, labels):
    """A form sets the labels that it has fields for, and leads back to the report."""
    add(store)
    answer = await judge(**fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports/1")
    assert labels_of(store) == labels


async def test_changed_again(store, judge):
    """A judgement can be changed and taken back, and a label removed; the others stay."""
    add(store, user="ada", comment="of the program")
    await judge(feedback="up", comment="fine", corrected="better")
    await judge(feedback="down")
    assert labels_of(store) == {
        "user": "ada",
        "feedback": "down",
        "comment": "fine",
        "corrected": "better",
    }
    await judge(feedback="none", comment="", corrected=" ")
    assert labels_of(store) == {"user": "ada"}
    await judge(remove="user")
    assert labels_of(store) == {}


async def test_buttons_of_the_list(store, http, judge):
    """A button of the list judges its row, and leads back to it; the same again takes it back."""
    add(store)
    text = (await http.get("/?model=m")).text
    assert 'name="judge" value="1:up"' in text
    answer = await judge(report_id="", judge="1:up", next="/?model=m")
    assert answer.headers["location"] == "/?model=m#r1"
    assert labels_of(store) == {"feedback": "up"}
    assert 'name="judge" value="1:none"' in (await http.get("/")).text
    assert (await judge(report_id="", judge="1", next="/")).status_code == 400
    await judge(report_id="", judge="1:none")
    assert labels_of(store) == {}


async def test_on_the_report(store, http, judge):
    """A report's page has the forms, and what was said."""
    add(store, user="ada")
    await judge(feedback="up", comment="fine </textarea>")
    text = (await http.get("/reports/1?model=m")).text
    assert "fine &lt;/textarea&gt;</textarea>" in text
    assert 'name="next" value="/reports/1?model=m"' in text
    assert 'name="remove" value="user"' in text


async def test_without_completion_id(store, judge):
    """Spans and failed calls can be judged: no completion id is needed, and no other changes."""
    for _ in range(3):
        store.add({"reqPayload": {"model": "m"}, "errorMessage": "failed"}).result()
    await judge(2, feedback="down")
    assert [row.metadata for row in store.recent()] == [{}, {"feedback": "down"}, {}]


@pytest.mark.parametrize(
    "fields, status",
    [
        ({"feedback": "sideways"}, 400),
        ({"label_name": "n" * 201, "label_value": "v"}, 400),
        ({"comment": "x" * 200_001}, 400),
        ({"report_id": 2, "feedback": "up"}, 404),
        ({"report_id": "one", "feedback": "up"}, 400),
        ({"report_id": "9" * 30, "feedback": "up"}, 400),
        ({"report_id": "", "feedback": "up"}, 400),
    ],
)
async def test_wrong(store, judge, fields, status):
    """A wrong field is said, and changes nothing."""
    add(store)
    assert (await judge(**fields)).status_code == status
    assert labels_of(store) == {}


async def test_no_token(store, http):
    """A form without the visitor's token changes nothing."""
    add(store)
    for token in ({}, {"token": "x"}):
        answer = await http.post("/feedback", data={"id": 1, "feedback": "up", **token})
        assert answer.status_code == 403
    assert labels_of(store) == {}


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}])
async def test_other_site(store, http, headers):
    """Nor does one of another site, whatever it knows."""
    add(store)
    token = token_in((await http.get("/judge")).text)
    data = {"id": 1, "feedback": "up", "token": token}
    answer = await http.post("/feedback", data=data, headers=headers)
    assert answer.status_code == 403
    assert labels_of(store) == {}


async def test_not_by_link(store, http):
    """No link changes anything."""
    add(store)
    assert (await http.get("/feedback?id=1&feedback=up")).status_code == 405
    assert labels_of(store) == {}


async def test_scopes_and_projects(store):
    """A key changes reports of its own project, and only with the scope for it."""
    add(store, project="a")
    add(store, project="b")
    _, reading = store.keys.create("r", project="a", scope="read")
    _, all_of_a = store.keys.create("a", project="a", scope="admin")
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for key, report_id, status in [(reading, 1, 403), (all_of_a, 1, 303), (all_of_a, 2, 404)]:
            headers = {**BROWSER, "Authorization": f"Bearer {key}"}
            token = token_in((await http.get("/login", headers=BROWSER)).text)
            data = {"token": token, "id": report_id, "feedback": "up"}
            assert (await http.post("/feedback", data=data, headers=headers)).status_code == status
        shown = await http.get(
            "/judge?all=true", headers={**BROWSER, "Authorization": f"Bearer {reading}"}
        )
    assert "Your key may read" in shown.text
    assert 'action="/feedback"' not in shown.text
    assert [row.metadata for row in store.recent()] == [{"feedback": "up"}, {}]


def link(text, rel):
    return re.search(rf'<a href="([^"]*)" rel="{rel}"', text)[1].replace("&amp;", "&")


def number_in(text):
    return int(re.search(r"Question (\d+)", text)[1])


async def test_one_after_another(store, http):
    """The newest that is not judged comes first; judging goes on to the next, a link goes back."""
    for number in range(1, 5):
        add(store, number, **({"feedback": "up"} if number == 3 else {}))
    page = await http.get("/judge")
    assert number_in(page.text) == 4
    following = re.search(r'name="next" value="([^"]*)"', page.text)[1]
    assert following == link(page.text, "next") == "/judge?after=4"
    data = {"token": token_in(page.text), "id": 4, "feedback": "down", "next": following}
    answer = await http.post("/feedback", data=data)
    page = await http.get(answer.headers["location"])
    assert number_in(page.text) == 2
    assert "2 of 4 judged: 1 good, 1 bad" in " ".join(page.text.split())
    page = await http.get(link(page.text, "prev"))
    assert number_in(page.text) == 3
    page = await http.get(link((await http.get("/judge?after=2")).text, "next"))
    assert "There are no more answers in this direction" in page.text
    assert number_in((await http.get("/judge")).text) == 2


async def test_with_judged_ones(store, http):
    """All answers of the filter are shown where that is asked for."""
    for number in range(1, 4):
        add(store, number, feedback="up", team="red" if number < 3 else "blue")
    assert "Every answer is judged" in (await http.get("/judge")).text
    page = await http.get("/judge?metadata.team=red&all=true")
    assert number_in(page.text) == 2
    assert link(page.text, "next") == "/judge?metadata.team=red&all=true&after=2"


async def test_filter_by_what_changes(store, http):
    """Going through those with a label that judging removes leaves none out."""
    for number in range(1, 4):
        add(store, number, feedback="down")
    seen = []
    path = "/judge?metadata.feedback=down&all=true"
    for _ in range(3):
        page = await http.get(path)
        seen.append(number_in(page.text))
        data = {"token": token_in(page.text), "id": seen[-1], "feedback": "up"}
        await http.post("/feedback", data=data)
        path = link(page.text, "next")
    assert seen == [3, 2, 1]


async def test_many_judged(store):
    """Not all of many judged reports are looked at for one page; the next one looks on."""
    for number in range(1, 8):
        add(store, number, **({"feedback": "up"} if number > 1 else {}))
    found = find_next(store.queries, Filter(), after=None, with_judged=False, most=4)
    assert (found.row, found.resume_after) == (None, 4)
    found = find_next(store.queries, Filter(), after="4", with_judged=False, most=4)
    assert found.row.id == 1


async def test_nothing(store, http):
    """Where there is nothing to judge, the page says so."""
    assert "No report is stored yet" in (await http.get("/judge")).text
    add(store)
    assert "No report matches the filter" in (await http.get("/judge?model=none")).text
    assert (await http.get("/judge?after=x")).status_code == 400
