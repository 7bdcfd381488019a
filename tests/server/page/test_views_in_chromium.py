"""Comparing, judging and logging in, in a real browser."""

from __future__ import annotations

import pytest
from support.chromium import axe_findings, watched_page

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving

PHONE = {"width": 360, "height": 740}
VIEWS = (
    *("/", "/reports/1", "/compare", "/compare?a=1&b=2"),
    *("/judge", "/judge?model=none", "/judge?after=1", "/export"),
)
HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(1)> </textarea></del>'
    "\0\x1b[31m\a\N{RIGHT-TO-LEFT OVERRIDE}evil\N{RIGHT-TO-LEFT ISOLATE}\ufeff"
)


def add(store, number=1, text="", **labels):
    report = {
        "requestedAt": 1_700_000_000_000 + number,
        "receivedAt": 1_700_000_000_900 + number,
        "statusCode": 200,
        "reqPayload": {
            "model": f"m{text}",
            "messages": [
                {"role": "system", "content": f"Be brief. {text}"},
                {"role": "user", "content": f"Question {number} {text}"},
            ],
            "metadata": labels,
            "temperature": number,
        },
        "respPayload": {
            "choices": [{"message": {"role": "assistant", "content": f"Answer {number} {text}"}}]
        },
        "tags": {"$endpoint": "chat/completions"},
    }
    store.add(report).result()


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["wide", "phone"])
def test_looks(browser, site, store, viewport, scheme):
    """Each view is read by a screen reader, fits a phone, and has contrast in either scheme."""
    add(store, 1, feedback="up", comment="fine")
    add(store, 2)
    options = {"base_url": site, "color_scheme": scheme}
    if viewport:
        options["viewport"] = viewport
    with watched_page(browser, origin=site, **options) as page:
        for path in VIEWS:
            assert page.goto(path).status == 200
            assert not axe_findings(page), path
            assert fits(page), path


def test_compared_side_by_side(browser, site, store):
    """Both sides stand beside each other, and on a phone below each other."""
    add(store, 1)
    add(store, 2)
    for viewport, is_beside in (({"width": 1200, "height": 800}, True), (PHONE, False)):
        with watched_page(browser, origin=site, base_url=site, viewport=viewport) as page:
            page.goto("/compare?a=1&b=2")
            cells = page.locator(".both").first.locator(".cell")
            left, right = (cells.nth(place).bounding_box() for place in range(2))
            assert (left["y"] == right["y"]) == is_beside
            marked = page.locator("del").first
            assert marked.inner_text() == "1"
            assert marked.evaluate("one => getComputedStyle(one).backgroundColor") != (
                "rgba(0, 0, 0, 0)"
            )


def test_chosen_from_the_list(page, store):
    """Two reports are chosen in the list, and judged there."""
    for number in (1, 2, 3):
        add(store, number)
    page.goto("/")
    page.get_by_label("Choose report 3 to compare").check()
    page.get_by_label("Choose report 1 to compare").check()
    page.get_by_role("button", name="Compare two chosen").click()
    page.wait_for_url("**/compare?a=3&b=1")
    page.goto("/?model=m")
    page.get_by_label("Good answer: report 2").click()
    page.wait_for_url(lambda url: url.endswith("/?model=m#r2"))
    assert store.queries.get_report(2).metadata == {"feedback": "up"}
    assert page.get_by_label("Good answer: report 2").get_attribute("aria-pressed") == "true"


def test_feedback_on_a_report(page, store):
    """One report is judged and labelled on its own page."""
    add(store, 1)
    page.goto("/reports/1")
    with page.expect_navigation():
        page.keyboard.press("d")
    page.get_by_text("Labels", exact=True).last.click()
    page.get_by_label("Name").fill("score")
    page.get_by_label("Value").fill("5")
    page.get_by_role("button", name="Set the label").click()
    page.wait_for_load_state()
    assert store.queries.get_report(1).metadata == {"feedback": "down", "score": "5"}
    assert page.url.endswith("/reports/1")


def test_hostile_compared(page, store):
    """Whatever two reports have is text."""
    add(store, 1, HOSTILE, **{HOSTILE: HOSTILE})
    add(store, 2, HOSTILE[::-1])
    page.goto("/compare?a=1&b=2")
    assert "<script>alert(1)</script>" in page.locator(".said").first.inner_text()
    assert page.locator("main img, main script").count() == 0
    assert not axe_findings(page)
    page.goto("/compare?a=%3Cscript%3Ealert(1)%3C/script%3E&b=2")
    assert page.locator("main script").count() == 0


def test_huge_compared(page, store):
    """Texts of megabytes are compared in part, and the page is soon there."""
    add(store, 1, "word " * 1_000_000)
    add(store, 2, "other " * 1_000_000)
    page.goto("/compare?a=1&b=2", timeout=20_000)
    assert page.get_by_text("There is more text than is compared here.").count() > 0


def test_judged_by_keyboard(page, store):
    """Twenty answers are judged with a key each, without touching the mouse."""
    for number in range(1, 21):
        add(store, number)
    page.goto("/judge")
    for number in range(20, 0, -1):
        page.get_by_text(f"Answer {number}").wait_for()
        with page.expect_navigation():
            page.keyboard.press("u" if number % 2 else "d")
    page.get_by_text("20 of 20 judged: 10 good, 10 bad").wait_for()
    verdicts = [row.metadata["feedback"] for row in store.recent()]
    assert verdicts == ["up", "down"] * 10


def test_comment_by_keyboard(page, store):
    """A comment and a corrected answer are written and saved by keyboard, and kept as typed."""
    add(store, 1)
    add(store, 2)
    page.goto("/judge")
    page.keyboard.press("c")
    page.keyboard.type("under the weather")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.keyboard.type("one\nmore line\n")
    page.keyboard.press("Escape")
    with page.expect_navigation():
        page.keyboard.press("d")
    page.get_by_text("Answer 1").wait_for()
    with page.expect_navigation():
        page.keyboard.press("k")
    assert page.get_by_label("Comment").input_value() == "under the weather"
    assert page.get_by_role("button", name="Bad").get_attribute("aria-pressed") == "true"
    assert store.queries.get_report(2).metadata == {
        "comment": "under the weather",
        "corrected": "one\nmore line",
        "feedback": "down",
    }


def test_judged_without_script(browser, site, store):
    """All of it works without script."""
    add(store, 1)
    add(store, 2)
    with watched_page(browser, origin=site, base_url=site, java_script_enabled=False) as page:
        page.goto("/judge")
        page.get_by_label("Comment").fill("fine")
        page.get_by_role("button", name="Good").click()
        page.get_by_text("Answer 1").wait_for()
        page.get_by_role("link", name="Previous").click()
        page.get_by_text("Answer 2").wait_for()
        page.get_by_role("button", name="Take back").click()
    assert store.queries.get_report(2).metadata == {"comment": "fine"}


def test_hostile_judged(page, store):
    """A report and its feedback are text, in a text field too."""
    add(store, 1, HOSTILE, comment=HOSTILE, corrected=HOSTILE)
    page.goto("/judge")
    assert page.locator("main img, main script").count() == 0
    kept = store.queries.get_report(1).metadata["comment"]
    assert page.get_by_label("Comment").input_value().rstrip() == kept.replace("\r", "\n").rstrip()
    assert not axe_findings(page)


def test_login(browser, store):
    """A key is asked for once; its cookie is out of the reach of scripts, and ends at logout."""
    add(store, 1)
    with serving(create_app(store, api_key="k-1")) as url:
        site = url.removesuffix("/api/v1")
        with watched_page(browser, origin=site, base_url=site) as page:
            page.goto("/judge")
            assert page.url == f"{site}/login?next=%2Fjudge"
            assert not axe_findings(page)
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            assert "wrong" in page.get_by_role("alert").inner_text()
            assert not axe_findings(page)
            page.get_by_label("API key").fill("k-1")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{site}/judge")
            [cookie] = page.context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            assert "k-1" not in cookie["value"]
            assert page.evaluate("document.cookie") == ""
            with page.expect_navigation():
                page.keyboard.press("u")
            page.get_by_role("button", name="Log out").click()
            page.wait_for_url(f"{site}/login")
            page.goto("/charts")
            assert page.url.startswith(f"{site}/login")
    assert store.queries.get_report(1).metadata == {"feedback": "up"}


FORM = """([url, fields]) => {
    const form = document.body.appendChild(document.createElement("form"));
    Object.assign(form, {action: url, method: "post"});
    for (const [name, value] of Object.entries(fields)) {
        const field = form.appendChild(document.createElement("input"));
        Object.assign(field, {name, value});
    }
    form.submit();
}"""


def test_other_site_cannot_judge(browser, site, store):
    """A page of another site, or of another port of this machine, can send no form."""
    add(store, 1)
    with watched_page(browser, base_url=site) as page:
        page.goto("/judge")
        token = page.locator("input[name=token]").first.input_value()
    fields = {"id": "1", "feedback": "up", "token": token}
    with serving(create_app(store, allowed_hosts=["evil.example"])) as other:
        for foreign in (other, other.replace("127.0.0.1", "evil.example")):
            with watched_page(browser) as page:
                page.goto(f"{foreign.removesuffix('/api/v1')}/healthz")
                with page.expect_navigation() as answered:
                    page.evaluate(FORM, [f"{site}/feedback", fields])
                assert answered.value.status == 403
    assert store.queries.get_report(1).metadata == {}


def test_other_site_has_no_session(browser, store):
    """A form or link of another site comes without the cookie of whoever is logged in."""
    add(store, 1)
    app = create_app(store, api_key="k-1")
    with serving(app) as url, serving(create_app(store, allowed_hosts=["evil.example"])) as other:
        site = url.removesuffix("/api/v1")
        with watched_page(browser, base_url=site) as page:
            page.goto("/login")
            page.get_by_label("API key").fill("k-1")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{site}/")
            evil = other.replace("127.0.0.1", "evil.example").removesuffix("/api/v1")
            page.goto(f"{evil}/healthz")
            with page.expect_navigation():
                page.evaluate("url => { location.href = url; }", f"{site}/charts")
            assert page.url.startswith(f"{site}/login")
