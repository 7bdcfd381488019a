"""The charts of the filter in force: numbers, links, images."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.charts.measures import MEASURES
from openpipe_report.server.charts.palette import PALETTES
from openpipe_report.server.page import charts

MINUTE = 60_000
FIRST = 1_700_000_040_000
STYLES = Path(charts.__file__).parent / "static" / "charts.css"


def add(store, at, model="gpt-4o", status=200, duration=250, **labels):
    report = {
        "requestedAt": at,
        "receivedAt": at + duration,
        "statusCode": status,
        "reqPayload": {"model": model, "metadata": labels},
        "respPayload": {"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    }
    store.add(report).result()


@pytest.fixture
async def get(store):
    transport = httpx.ASGITransport(create_app(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def get(path):
            return await http.get(path, headers={"Accept": "text/html"})

        yield get


@pytest.fixture
def filled(store):
    add(store, FIRST, team="red")
    add(store, FIRST + 30_000, status=500, team="red")
    add(store, FIRST + 2 * MINUTE, "gpt-4o-mini", team="blue")
    add(store, FIRST + 2 * MINUTE, "gpt-4o-mini")


def links_of(text):
    """Return the targets of the links into the list, as the browser reads them."""
    found = re.findall(r'href="(/\?[^"]*)"', text)
    return [one.replace("&amp;", "&") for one in found]


async def test_all(get, filled):
    """All charts are on one page, with the sums of each group, which link to their reports."""
    answer = await get("/charts")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    for name, measure in MEASURES.items():
        assert measure.title in answer.text
        assert f'src="/charts/{name}.svg?by=model&amp;theme=light' in answer.text
    links = links_of(answer.text)
    assert "/?model=gpt-4o" in links
    assert "/?model=gpt-4o-mini" in links
    assert f"/?since={FIRST}&until={FIRST + MINUTE}" in links


@pytest.mark.parametrize(
    "query, expected",
    [
        ("by=metadata.team", "/?metadata.team=red"),
        ("by=failed", "/?error=true"),
        ("by=status", "/?status=500"),
        ("model=gpt-4o&by=metadata.team", "/?model=gpt-4o&metadata.team=red"),
        ("model=gpt-4o-mini&by=model", "/?model=gpt-4o-mini"),
        ("by=none", f"/?since={FIRST}&until={FIRST + MINUTE}"),
    ],
)
async def test_links(get, filled, query, expected):
    """A link adds what its group has in common to the filter in force."""
    assert expected in links_of((await get(f"/charts?{query}")).text)


async def test_links_find_what_was_counted(get, filled, store):
    """Each number of a table links to as many reports as it says."""
    text = (await get("/charts/calls?by=model")).text
    cells = re.findall(r'<td><a href="/\?([^"]*)">(\d+)</a>', text)
    assert [int(count) for _, count in cells] == [2, 2]
    for query, count in cells:
        found = await get(f"/api/v1/stats?{query.replace('&amp;', '&')}")
        assert found.json()["data"][0]["calls"] == int(count)


async def test_narrower_time(get, filled):
    """A time bucket never links beyond the time that is filtered by."""
    text = (await get(f"/charts?since={FIRST + 1_000}&until={FIRST + 40_000}")).text
    assert f"/?since={FIRST + 1_000}&until={FIRST + 40_000}" in links_of(text)


@pytest.mark.parametrize("name", MEASURES)
async def test_numbers(get, filled, name):
    """Each chart has a page with its numbers as a table."""
    answer = await get(f"/charts/{name}?by=metadata.team")
    assert answer.status_code == 200
    assert answer.text.count("<tr>") == 3
    assert f"{MEASURES[name].title} over time by team" in answer.text


@pytest.mark.parametrize("theme", PALETTES)
async def test_image(get, filled, theme):
    """An image has a policy of its own: one style sheet by its hash, and nothing else."""
    answer = await get(f"/charts/calls.svg?by=model&theme={theme}&width=narrow")
    assert answer.headers["content-type"] == "image/svg+xml"
    policy = answer.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; frame-ancestors 'none'; sandbox", policy
    )
    assert ET.fromstring(answer.content).get("viewBox") == "0 0 360 200"
    assert PALETTES[theme].series[0].encode() in answer.content


@pytest.mark.parametrize(
    "path, status",
    [
        ("/charts/none", 404),
        ("/charts/none.svg", 404),
        ("/charts/calls.svg?theme=pink", 400),
        ("/charts/calls.svg?width=9000", 400),
        ("/charts/calls.svg?model=none", 404),
        ("/charts?by=nothing", 400),
        ("/charts?by=metadata.", 400),
        ("/charts?modle=x", 400),
        ("/charts?by=error&by=model", 400),
    ],
)
async def test_wrong(get, filled, path, status):
    """What cannot be read is said on a page."""
    answer = await get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "text/html; charset=utf-8",
    )


async def test_empty_fields(get, filled):
    """Empty fields of a form are left out of the URL."""
    answer = await get("/charts?model=&by=status")
    assert (answer.status_code, answer.headers["location"]) == (303, "/charts?by=status")


async def test_nothing(get, store):
    """Where there is nothing to draw, the page says what to do."""
    assert "There are no reports yet" in (await get("/charts")).text
    add(store, FIRST)
    for path in ("/charts", "/charts/cost"):
        assert "No report matches the filter" in (await get(f"{path}?model=none")).text


def test_colours():
    """The legend has the colours of the charts, light and dark."""
    parts = STYLES.read_text("utf-8").split("@media (prefers-color-scheme: dark)")
    for part, theme in zip(parts, ("light", "dark"), strict=False):
        colours = re.findall(r"--series-\d: (#\w+);", part)
        assert tuple(colours) == PALETTES[theme].series
