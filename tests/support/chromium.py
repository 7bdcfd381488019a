"""A real Chromium, and pages of it that note what the receiver's pages must not do."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
_TIMEOUT = 10_000  # milliseconds
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium(*arguments):
    """Yield a Chromium that was started with these arguments beside the necessary ones."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "there is no Chromium: run `make browser`"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", *arguments]
        )
        yield launched
        launched.close()


@contextmanager
def watched_page(browser, *, origin=None, **context_options):
    """
    Yield a page in a context of its own, and check at the end that nothing was wrong with it.

    Nothing may violate the policy, raise in a script, or be asked of another origin.
    """
    context = browser.new_context(**context_options)
    context.add_init_script(_NOTE_VIOLATIONS)
    context.set_default_timeout(_TIMEOUT)
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if _is_csp(message) else None)
    page.on("request", lambda request: _note_foreign(request.url, origin, faults))
    yield page
    violations = page.evaluate("window.violations || []")
    context.close()
    assert not faults
    assert not violations


def axe_findings(page):
    """Return what axe finds on a page, one line for each rule."""
    options = {"runOnly": {"type": "tag", "values": _WCAG}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in found]


def _is_csp(message):
    return "Content Security Policy" in message.text


def _note_foreign(url, origin, faults):
    parts = urlsplit(url)
    if parts.scheme == "data":
        return
    if origin is not None and f"{parts.scheme}://{parts.netloc}" != origin:
        faults.append(f"asked for {url[:200]}")
