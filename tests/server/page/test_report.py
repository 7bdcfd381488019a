"""One report and its trace in a real browser, of every kind, hostile and huge ones too."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.sync_api import expect
from support.chromium import axe_findings, watched_page
from support.page_reports import KINDS, TRACE, asked, chat, png, report, trace

LARGE = 5_000_000


def add(store, *reports):
    for one in reports:
        store.add(one).result()


SHOWN = {
    "chat": ["You are terse.", "How?", "answer = 42  # code", "temperature", "0.25", "app shop"],
    "tools": ["get_weather", '"unit": "celsius"', '"celsius": -3', "It is cold.", "Tools offered"],
    "media": ["What is this?", "https://elsewhere.example/c.png", "refusal", "I will not say."],
    "error": ["Error code: 429 - slow down, please", "There is no answer."],
    "responses": ["Be brief.", "find_flights", "89 euros", "It costs 89 euros.", "Reasoning"],
    "legacy": ["Once upon", "a time", "length"],
    "embeddings": ["first text", "second text", "Vector of 1,536 numbers", "0.25"],
    "images": ["A red square", "A deep red square"],
    "moderations": ["I will find you.", "flagged", "harassment", "0.7500"],
    "anthropic": ["You write haiku.", "Autumn", "count", "5 syllables", "Leaves fall one by one"],
    "span": ["retrieve", '"k": 3', "first document"],
    "unknown": ["anything", '"is": "this"'],
    "nothing": ["There is no answer."],
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(store, page, kind):
    """Each kind of report shows what was asked and answered, and axe finds nothing."""
    add(store, KINDS[kind])
    page.goto("/reports/1")
    for shown in SHOWN[kind]:
        expect(page.locator("main")).to_contain_text(shown)
    assert not axe_findings(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert not axe_findings(page)


def test_conversation(store, page):
    """Answers are set as Markdown, code with its tokens, and no picture of another site loads."""
    add(store, KINDS["chat"])
    page.goto("/reports/1")
    answer = page.locator(".turn.role-assistant")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator("pre .c1")).to_have_text("# code")
    expect(answer.locator("img")).to_have_count(0)
    expect(answer.get_by_role("link", name="a link")).to_have_attribute(
        "href", "https://elsewhere.example/b"
    )
    expect(
        page.get_by_role("img", name="First byte after 300 ms, end after 1.20 s")
    ).to_be_visible()


def test_media(store, page):
    """An image of the payload is a thumbnail, a sound can be played."""
    add(store, KINDS["media"])
    page.goto("/reports/1")
    image = page.locator("img")
    expect(image).to_have_count(1)
    assert image.evaluate("one => one.naturalWidth") == 8
    page.wait_for_function("document.querySelector('audio').duration > 0.4")


def test_neighbours(store, page):
    """Newer and older reports are those of the filter; so is the list that one goes back to."""
    add(store, KINDS["chat"], KINDS["error"], KINDS["tools"], KINDS["legacy"])
    page.goto("/reports/3?error=false")
    expect(page.get_by_role("link", name="Newer")).to_have_attribute(
        "href", "/reports/4?error=false"
    )
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/reports/1?error=false")
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.get_by_role("link", name="List").click()
    page.wait_for_url("**/?error=false")


def test_label_and_trace_links(store, page):
    """A label leads to the reports that have it, a trace to its waterfall."""
    add(store, KINDS["chat"], *trace())
    page.goto("/reports/1")
    page.get_by_role("link", name="app shop").click()
    page.wait_for_url("**/?metadata.app=shop")
    page.goto("/reports/2")
    page.get_by_role("link", name=TRACE).click()
    page.wait_for_url(f"**/traces/{TRACE}")


@pytest.mark.parametrize("path", ["/reports/2", f"/traces/{TRACE}"])
def test_trace(store, page, path):
    """A trace is a waterfall whose branches fold, without script too."""
    add(store, KINDS["chat"], *trace())
    page.goto(path)
    waterfall = page.locator(".waterfall")
    names = waterfall.locator(".name")
    expect(names).to_have_text(["answer", "retrieve", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
    expect(waterfall.get_by_text("500")).to_be_visible()
    waterfall.get_by_text("2 inside").click()
    expect(names.nth(2)).to_be_hidden()
    assert not axe_findings(page)


def test_copy(browser, store, site):
    """Code that repeats the call and the raw payloads can be copied."""
    add(store, KINDS["tools"])
    rights = ["clipboard-read", "clipboard-write"]
    with watched_page(browser, origin=site, base_url=site, permissions=rights) as page:
        page.goto("/reports/1")

        def copied(name):
            page.get_by_role("button", name=name).click()
            expect(page.locator(f"button[data-name='{name}']")).to_have_text("Copied")
            return page.evaluate("navigator.clipboard.readText()")

        assert "client.chat.completions.create(\n    model='gpt-4o-mini'" in copied(
            "Copy as Python"
        )
        assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in copied("Copy as curl")
        assert json.loads(copied("Copy request")) == KINDS["tools"]["reqPayload"]
        assert json.loads(copied("Copy answer")) == KINDS["tools"]["respPayload"]


HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"'><svg onload=alert(1)>",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eright to left\u2066",
    "\0\x01\x1b[31m\x7f\x85",
    "\ud800 lone",
    "</code></pre></details></main>",
]


def poisoned(text):
    """Return a report that has a text in every field."""
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
    message = {"role": text, "name": text, "content": text, "refusal": text, "reasoning": text}
    content = [
        {"type": "text", "text": text},
        {"type": text, text: text},
        {"type": "image_url", "image_url": {"url": text}},
        {"type": "image_url", "image_url": {"url": f"https://elsewhere.example/{text}"}},
        {"type": "input_audio", "input_audio": {"data": text, "format": text}},
        {"type": "file", "file": {"filename": text, "file_id": text}},
    ]
    request = asked(
        message,
        {"role": "user", "content": content},
        {"role": "assistant", "content": text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": text, "content": text},
        tools=[{"type": "function", "function": {"name": text}}],
        response_format={"type": text},
        metadata={text: text},
        **{text: text},
    )
    request["model"] = text
    answer = chat(f"{text}\n\n# {text}\n\n```{text}\n{text}\n```\n\n[{text}]({text})", model=text)
    answer["choices"][0]["finish_reason"] = answer["id"] = answer["service_tier"] = text
    ids = {"_trace_id": f"t{text}", "_span_id": text, "_endpoint": text}
    return report(request, answer, error=text, **ids, **{f"l{text}": text})


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile(store, page, number):
    """Whatever stands in every field is shown as text: nothing runs, loads or breaks the page."""
    text = HOSTILE[number]
    add(store, poisoned(text), poisoned(text))
    page.goto("/")
    expect(page.locator("#rows > tr")).to_have_count(2)
    links = page.locator("#rows a").evaluate_all("all => all.map(one => one.href)")
    assert all(link.startswith("http://127.0.0.1") for link in links)
    page.locator("#rows a.open").first.click()
    page.wait_for_url("**/reports/2")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    expect(page.locator("main")).to_have_count(1)
    expect(page.get_by_role("heading", name="Raw", exact=True)).to_be_visible()
    assert "owned" not in page.title().replace(text, "")
    hrefs = page.locator("main a[href]").evaluate_all("all => all.map(one => one.protocol)")
    assert set(hrefs) <= {"http:", "https:"}
    page.locator(".more a[href^='/traces/']").click()
    expect(page.locator(".waterfall .name")).to_have_count(2)
    for chip in (".chip", ".list .what a"):
        page.goto("/")
        page.locator(chip).first.click()
        expect(page.locator("#rows > tr")).to_have_count(2)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(report(asked("x" * LARGE), chat("y " * LARGE)), id="texts"),
        pytest.param(report({"model": "a", "big": "x" * LARGE}, {"big": ["x" * LARGE]}), id="JSON"),
        pytest.param(report(asked(*["many words"] * 20_000), chat()), id="messages"),
        pytest.param(report(asked("a"), {"numbers": list(range(900_000))}), id="values"),
        pytest.param(report(None, None, error="e" * LARGE), id="error"),
        pytest.param(
            report(
                asked({"role": "tool", "tool_call_id": "a", "content": "[" + "1," * LARGE}),
                chat(None, tool_calls=[{"function": {"name": "f", "arguments": "a" * LARGE}}]),
            ),
            id="tools",
        ),
    ],
)
def test_huge(store, page, made):
    """A report of many megabytes is cut: the page is small, and leads to the raw text."""
    add(store, made)
    started = time.monotonic()
    page.goto("/reports/1")
    expect(page.locator("a[href^='/raw/1']").first).to_be_attached()
    assert time.monotonic() - started < 10
    assert page.evaluate("document.documentElement.outerHTML.length") < 3_000_000
    assert page.evaluate("document.documentElement.scrollWidth") <= 1_280
    page.goto("/")
    expect(page.locator("#rows > tr")).to_have_count(1)


def test_long_text_folds(store, page):
    """A long prompt is folded, and a click shows it."""
    add(store, report(asked("beginning " + "word " * 1_000 + "end"), chat()))
    page.goto("/reports/1")
    full = page.locator(".turn.role-user .fold .plain")
    expect(full).to_be_hidden()
    page.locator(".turn.role-user summary").click()
    expect(full).to_contain_text("end")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(browser, store, site, scheme):
    """On a phone no report is wider than the page, in both colours."""
    wide = "w" * 3_000
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(900, 90)}"}}
    content = [{"type": "text", "text": wide}, image]
    markdown = f"{wide}\n\n```\n{wide}\n```\n\n|{'a|' * 60}\n|{'-|' * 60}\n|{wide}|"
    add(
        store,
        *KINDS.values(),
        *trace(),
        report(asked({"role": "user", "content": content}), chat(markdown), **{wide: wide}),
    )
    options = {"color_scheme": scheme, "viewport": {"width": 390, "height": 844}}
    with watched_page(browser, origin=site, base_url=site, **options) as page:
        for number in range(1, len(KINDS) + 6):
            page.goto(f"/reports/{number}")
            page.evaluate(
                "document.querySelectorAll('details').forEach(one => { one.open = true })"
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, number
        assert not axe_findings(page)


def test_raw(store, page):
    """The raw text is the report as it was posted, of no origin."""
    add(store, KINDS["chat"])
    answer = page.goto("/raw/1")
    assert answer.json() == KINDS["chat"]
    assert answer.headers["content-type"] == "application/json"
    assert re.search(r"\bsandbox\b", answer.headers["content-security-policy"])
    assert page.goto("/raw/1?part=request").json() == KINDS["chat"]["reqPayload"]
    assert page.goto("/raw/2").status == 404
    add(store, report(None, list(range(400_000))))
    assert page.goto("/raw/2?part=response").status == 413
    assert len(page.goto("/raw/2").json()["respPayload"]) == 400_000
