"""The pages in a real browser."""

from __future__ import annotations

from support.chromium import axe_findings


def test_in_chromium(page):
    """Pages load in a real browser, under their policy, and axe finds nothing."""
    assert page.goto("/").status == 200
    assert not axe_findings(page)
    assert page.goto("/nowhere").status == 404
    assert not axe_findings(page)
