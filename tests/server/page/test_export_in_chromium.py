"""Exports in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

from support.chromium import axe_findings

HOSTILE = '"><script>alert(1)</script>\0\x1b[31m'


def test_download(page, store):
    """The form counts, then downloads the file of the chosen format, with the filter."""
    for model in (HOSTILE, "other"):
        store.add({"reqPayload": {"model": model, "messages": []}}).result()
    page.goto("/export?model=other")
    assert not axe_findings(page)
    page.get_by_label("jsonl").check()
    page.get_by_role("button", name="Count the lines").click()
    page.wait_for_url("**/export?model=other&format=jsonl")
    assert page.get_by_role("status").inner_text() == "1 line of 1 report."
    assert not axe_findings(page)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename.endswith(".jsonl")
    text = Path(started.value.path()).read_text("utf-8")
    assert [json.loads(line)["request_model"] for line in text.splitlines()] == ["other"]


def test_hostile_filter(page, store):
    """A filter is kept as text."""
    store.add({"reqPayload": {"model": HOSTILE}}).result()
    row = store.recent()[0]
    page.goto("/export")
    page.evaluate(
        """name => {
            const field = document.createElement("input");
            Object.assign(field, {type: "hidden", name: "model", value: name});
            document.querySelector("form.stack").append(field);
        }""",
        row.model,
    )
    page.get_by_role("button", name="Count the lines").click()
    assert page.locator("p strong").first.inner_text() == "1 report"
    assert page.locator("input[name=model]").input_value() == row.model
