"""The list in a real browser: filter, search, pages, live rows, keys."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect
from support.chromium import axe_findings, watched_page
from support.page_reports import FIRST, KINDS, asked, chat, report


def add(store, *reports):
    for one in reports:
        store.add(one).result()


@pytest.fixture
def full(store):
    """A store with a report of each kind."""
    add(store, *KINDS.values())
    while store.queries.unindexed():
        time.sleep(0.01)
    return store


def rows(page):
    return page.locator("#rows > tr")


def test_rows(full, page):
    """A row has time, model, endpoint, words, labels, status, durations, tokens and cost."""
    page.goto("/")
    expect(rows(page)).to_have_count(len(KINDS))
    row = rows(page).last
    shown_in_row = (
        *("gpt-4o-mini-2024-07-18", "chat/completions", "How?", "Some **bold** words.", "app"),
        *("shop", "200", "1.20 s", "300 ms", "1,234", "56", "$0.0002"),
    )
    for shown in shown_in_row:
        expect(row).to_contain_text(shown)
    failed = page.locator("#rows > tr.failed")
    expect(failed).to_contain_text("Error code: 429 - slow down, please")


def test_error_with_an_answer(page, store):
    """A row of a failed call has its error, not the JSON of the answer that says it."""
    said = {"error": {"message": "Rate limit reached", "type": "requests"}}
    add(store, report(asked("Again?"), said, status=429, error="Rate limit reached"))
    page.goto("/")
    expect(rows(page).locator(".line.error")).to_have_text("Rate limit reached")
    expect(rows(page).locator(".line.answer")).to_have_count(0)


def test_local_time(browser, full, site):
    """Times are in the reader's zone; without script they say that they are in UTC."""
    with watched_page(browser, base_url=site, timezone_id="Asia/Tokyo", locale="en-GB") as page:
        page.goto("/")
        expect(rows(page).last.locator("time")).to_contain_text("07:13:20")
    with watched_page(browser, base_url=site, java_script_enabled=False) as page:
        page.goto("/")
        expect(rows(page).last.locator("time")).to_have_text("2023-11-14 22:13:20 UTC")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_filter(browser, full, site, script):
    """The form filters, its URL says so without empty fields, and each condition can be removed."""
    with watched_page(browser, base_url=site, java_script_enabled=script) as page:
        page.goto("/")
        page.get_by_text("Filter", exact=True).click()
        page.get_by_label("Outcome").select_option("failed")
        page.get_by_label("Status").fill("4xx")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url(re.compile(r"/\?status=4xx&error=true$"))
        expect(rows(page)).to_have_count(1)
        page.get_by_role("link", name="status 4xx").click()
        page.wait_for_url(re.compile(r"/\?error=true$"))
        page.get_by_text("Filter", exact=True).click()
        page.get_by_label("Label").fill("app")
        page.get_by_label("has the value").fill("shop")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url(re.compile(r"/\?error=true&metadata.app=shop$"))
        expect(page.get_by_text("No report matches")).to_be_visible()
        page.get_by_role("link", name="clear all").click()
        expect(rows(page)).to_have_count(len(KINDS))


@pytest.mark.parametrize(
    "name, query, count",
    [
        ("o4-mini-2025-04-16", "?model=o4-mini-2025-04-16", 1),
        ("moderations", "?endpoint=moderations", 1),
        ("429", "?status=429", 1),
        ("app shop", "?metadata.app=shop", 1),
    ],
)
def test_cells_are_links(full, page, name, query, count):
    """A cell or chip leads to the reports that have the same."""
    page.goto("/")
    page.locator("#rows").get_by_role("link", name=name, exact=True).first.click()
    page.wait_for_url(f"**/{query}")
    expect(rows(page)).to_have_count(count)


def test_search(full, page):
    """A search marks what it has found."""
    page.goto("/")
    page.get_by_role("searchbox").fill("WEATHER oslo")
    page.get_by_role("searchbox").press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(page.locator("mark").first).to_have_text("weather")
    expect(page.locator("mark").nth(1)).to_have_text("Oslo")
    assert not axe_findings(page)


def test_pages(store, page):
    """Links lead to older reports and back, with the filter."""
    add(store, *(report(asked(f"question {n}"), chat(), at=FIRST + n) for n in range(60)))
    page.goto("/?error=false")
    expect(rows(page)).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows(page)).to_have_count(10)
    expect(rows(page).last).to_contain_text("question 0")
    assert "error=false" in page.url
    expect(page.locator("#live")).to_have_count(0)
    page.get_by_role("link", name="Newest").click()
    expect(rows(page)).to_have_count(50)


def test_live(store, page):
    """New reports appear by themselves, if they match, and do not while the list is paused."""
    page.goto("/?error=false")
    expect(page.get_by_text("No report matches")).to_be_visible()
    add(store, report(asked("first"), chat()), KINDS["error"])
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_text("No report matches")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("1 new report")
    button = page.locator("#live")
    button.click()
    expect(button).to_have_text("Paused")
    expect(button).to_have_attribute("aria-pressed", "false")
    other = page.context.new_page()
    other.goto("/?error=false")
    add(store, report(asked("second"), chat()))
    expect(rows(other)).to_have_count(2)
    expect(rows(page)).to_have_count(1)
    other.close()
    button.click()
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("second")
    assert not axe_findings(page)


def test_live_search(store, page):
    """A search that is open gets new rows too, though the index follows."""
    page.goto("/?text=needle")
    add(store, report(asked("a needle"), chat()), report(asked("hay"), chat()))
    expect(rows(page)).to_have_count(1)
    expect(page.locator("mark")).to_have_text("needle")


def test_first_report(store, page, site):
    """An empty list says which lines a client needs, and ends with the first report."""
    page.goto("/")
    expect(page.locator("#setup")).to_contain_text(f"export OPENPIPE_BASE_URL={site}/api/v1")
    expect(page.locator("#setup")).to_contain_text("export OPENPIPE_API_KEY=")
    assert not axe_findings(page)
    add(store, KINDS["chat"])
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#setup")).to_be_hidden()


def test_keys(full, page):
    """Keys choose a report, open it, search and show themselves; typing is left alone."""
    page.goto("/")
    for key in "jjjk":
        page.keyboard.press(key)
    expect(rows(page).nth(1)).to_have_class(re.compile("chosen"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/reports/*")
    assert page.url.endswith(f"/reports/{len(KINDS) - 1}")
    page.keyboard.press("j")
    page.wait_for_url(f"**/reports/{len(KINDS) - 2}")
    page.keyboard.press("k")
    page.wait_for_url(f"**/reports/{len(KINDS) - 1}")
    page.goto("/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.get_by_role("searchbox")).to_have_value("j?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert not axe_findings(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1_360])
def test_looks(browser, full, site, scheme, width):
    """In both colours and on a phone nothing is wider than the page, and axe finds nothing."""
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    with watched_page(browser, origin=site, base_url=site, **options) as page:
        page.goto("/?error=false")
        page.get_by_text("Filter", exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 23, 26)") == (scheme == "dark")
        assert not axe_findings(page)
