"""Charts in a real browser: drawn, linked, light and dark, on a phone, with hostile labels."""

from __future__ import annotations

import pytest
from support.chromium import axe_findings, watched_page

MINUTE = 60_000
FIRST = 1_700_000_040_000
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\N{RIGHT-TO-LEFT OVERRIDE}evil\N{RIGHT-TO-LEFT OVERRIDE}",
    "nul\0 bell\a escape\x1b[31m",
    "x" * 1_000,
    "javascript:alert(1)",
    "]]><svg onload=alert(1)>",
)


def add(store, at, model="m1", **labels):
    report = {
        "requestedAt": at,
        "receivedAt": at + 250,
        "reqPayload": {"model": model, "metadata": labels},
        "respPayload": {"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    }
    store.add(report).result()


@pytest.fixture
def filled(store):
    for minute in range(10):
        add(store, FIRST + minute * MINUTE, "m1" if minute % 3 else "m2", team="red")


def drawn(page):
    """Return how many images are drawn, and how many there are."""
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    images = "[...document.images].filter(image => image.naturalWidth)"
    return page.evaluate(f"[{images}.length, document.images.length]")


def colours_of(page):
    """Return the colours of the first chart, in a grid of its pixels."""
    found = page.evaluate(
        """() => {
            const image = document.images[0];
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.width, image.height];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0, image.width, image.height);
            const {data} = context.getImageData(0, image.height / 2, image.width, 1);
            return Array.from({length: image.width}, (_, x) => [...data.slice(4 * x, 4 * x + 4)]);
        }"""
    )
    return set(map(tuple, found))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (360, 740)], ids=["wide", "phone"])
def test_looks(browser, site, filled, scheme, size):
    """All charts are drawn in either scheme, fit the width, and axe finds nothing."""
    width, height = size
    viewport = {"width": width, "height": height}
    options = {"base_url": site, "color_scheme": scheme, "viewport": viewport}
    with watched_page(browser, origin=site, **options) as page:
        for path in ("/charts", "/charts/calls?by=metadata.team"):
            page.goto(path)
            shown, count = drawn(page)
            assert shown == count > 0
            source = page.evaluate("document.images[0].currentSrc")
            assert f"theme={scheme}&width={'wide' if width > 640 else 'narrow'}" in source
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert not axe_findings(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_long_label_name(browser, site, store, width):
    """The choice of labels stays within the page, however long a label's name is."""
    add(store, FIRST, **{"long" * 60: "v" * 500})
    viewport = {"width": width, "height": 800}
    with watched_page(browser, origin=site, base_url=site, viewport=viewport) as page:
        for path in ("/charts", "/charts/cost"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert not axe_findings(page)


def test_bars_have_the_palette(page, filled):
    """The style sheet of a chart takes effect under its policy, and in an image."""
    page.goto("/charts")
    drawn(page)
    assert {(0x00, 0x72, 0xB2, 255), (0xD5, 0x5E, 0x00, 255)} <= colours_of(page)


def test_chart_as_a_page(page, filled):
    """A chart opened by itself violates nothing either."""
    assert page.goto("/charts/calls.svg").status == 200
    assert page.evaluate("getComputedStyle(document.querySelector('.color-0')).fill") == (
        "rgb(0, 114, 178)"
    )


def test_bar_leads_to_its_reports(page, filled):
    """A click on a bar shows the reports of its time."""
    page.goto("/charts")
    bar = page.locator("svg.hits").first.locator("a").nth(3)
    assert bar.locator("title").text_content().endswith(": 1")
    bar.click()
    begin = FIRST + 3 * MINUTE
    page.wait_for_url(f"**/?since={begin}&until={begin + MINUTE}")


def test_legend_leads_to_its_reports(page, filled):
    """An entry of the legend shows the reports of its group."""
    page.goto("/charts")
    page.get_by_role("link", name="m2", exact=True).click()
    page.wait_for_url("**/?model=m2")


def test_split(page, filled):
    """The form splits by a label, and keeps the filter."""
    page.goto("/charts?model=m1")
    page.get_by_label("Split by").select_option("team")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/charts?model=m1&by=metadata.team")
    assert page.get_by_role("link", name="red", exact=True).count() == 1


def test_hostile_labels(page, store):
    """Names and values of labels are text, in the legend, the form and the links."""
    for number, value in enumerate(HOSTILE):
        add(store, FIRST + number * MINUTE, model=value, **{value[:200]: value})
    for _ in HOSTILE:
        page.goto("/charts")
        page.get_by_label("Split by").select_option(index=8)
        page.get_by_role("button", name="Show").click()
        shown, count = drawn(page)
        assert shown == count
    page.goto("/charts")
    page.goto("/charts/tokens")
    drawn(page)
    assert page.locator("script:not([src])").count() == 0
    assert page.locator("tbody img").count() == 0
    hrefs = page.evaluate("[...document.links].map(link => link.protocol)")
    assert set(hrefs) == {"http:"}
