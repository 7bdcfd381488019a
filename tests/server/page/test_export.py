"""Exports: what the page says before, and the file that is downloaded."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx
import pytest

from openpipe_report._export import FORMATS
from openpipe_report.server.app import create_app
from openpipe_report.server.page.export import MAX_CHECKED

BROWSER = {"Accept": "text/html"}


def add(store, number, *, answer="Fine", status=200, project="default", **labels):
    report = {
        "requestedAt": 1_700_000_000_000 + number,
        "receivedAt": 1_700_000_000_100 + number,
        "statusCode": status,
        "reqPayload": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": f"How are you, {number % 3}?"}],
            "metadata": labels,
        },
        "respPayload": {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer},
                    "finish_reason": "stop",
                }
            ],
        },
        "tags": {"$endpoint": "chat/completions"},
    }
    store.add(report, project=project).result()


@pytest.fixture
async def get(store):
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def get(path):
            return await http.get(path, headers=BROWSER)

        yield get


@pytest.fixture
def filled(store):
    for number in range(5):
        add(store, number, team="red" if number else "blue")
    add(store, 5, status=500, team="red")


async def test_count(get, filled):
    """The page says how many reports match before anything is downloaded."""
    text = (await get("/export")).text
    assert "<strong>6 reports</strong>" in text
    assert "are stored" in text
    text = (await get("/export?metadata.team=blue")).text
    assert "<strong>1 report</strong>" in text
    assert "matches the filter" in " ".join(text.split())
    assert "No report" in (await get("/export?model=none")).text


async def test_lines(get, filled):
    """Of few reports it says how many lines they make, and why others make none."""
    text = " ".join((await get("/export?format=openai-chat&dedup=true")).text.split())
    assert "<strong>3 lines</strong> of 6 reports" in text
    assert "<li>1 &times; failed</li>" in text
    assert "<li>2 &times; duplicate</li>" in text


async def test_too_many_to_count(get, store):
    """Of many reports the lines are not counted beforehand."""
    futures = [store.add({"reqPayload": {}}) for _ in range(MAX_CHECKED + 1)]
    for future in futures:
        future.result()
    text = (await get("/export?format=jsonl")).text
    assert "Lines are counted beforehand for up to 1,000 reports." in text


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])
async def test_download(get, filled, name):
    """Each format is a download of its own type and name, with nothing that a browser runs."""
    answer = await get(f"/export/download?format={name}")
    suffix, media_type = FORMATS[name]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(rf'attachment; filename="{name}-\d{{4}}-\d\d-\d\d\.{suffix}"', disposition)
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_content(get, filled):
    """The file has the reports of the filter."""
    lines = (await get("/export/download?format=jsonl&metadata.team=red")).text.splitlines()
    assert [json.loads(line)["metadata"]["team"] for line in lines] == ["red"] * 5
    chats = (await get("/export/download?format=openai-chat&dedup=true")).text.splitlines()
    assert len(chats) == 3
    table = (await get("/export/download?format=csv&error=true")).text
    assert [row["status"] for row in csv.DictReader(io.StringIO(table))] == ["500"]


async def test_preferences(get, store):
    """Pairs are made of what was judged, whichever other reports there are."""
    for number, verdict in enumerate(["up", None, None, "down"]):
        labels = {"feedback": verdict} if verdict else {}
        add(store, number, answer=f"answer {number}", **labels)
    [line] = (await get("/export/download?format=dpo")).text.splitlines()
    assert "answer 0" in line
    assert "answer 3" in line
    assert "1 line<" in (await get("/export?format=dpo")).text


async def test_parquet(get, filled, monkeypatch):
    """Where pyarrow is missing, the page and the download say so."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "needs pyarrow, which is not installed" in (await get("/export")).text
    answer = await get("/export/download?format=parquet")
    assert answer.status_code == 400
    assert "pyarrow is not installed" in answer.text


async def test_parquet_file(get, filled):
    """With pyarrow, it is a file of all reports."""
    from pyarrow import parquet

    answer = await get("/export/download?format=parquet")
    assert parquet.read_table(io.BytesIO(answer.content)).num_rows == 6


@pytest.mark.parametrize(
    "query", ["format=xml", "dedup=yes", "modle=x", "format=csv&format=jsonl", "since=never"]
)
async def test_wrong(get, filled, query):
    """A wrong parameter is said, and downloads nothing."""
    for path in ("/export", "/export/download"):
        answer = await get(f"{path}?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (
            400,
            "text/html; charset=utf-8",
        )


async def test_projects(store):
    """A key exports the reports of its project and no others."""
    _, key = store.keys.create("r", project="a", scope="read")
    _, writing = store.keys.create("w", project="a", scope="write")
    add(store, 1, project="a")
    add(store, 2, project="b")
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for secret, status in ((key, 200), (writing, 403)):
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await http.get("/export/download?format=jsonl", headers=headers)
            assert answer.status_code == status
            if status == 200:
                assert len(answer.text.splitlines()) == 1
