"""What pages of other sites can do to a receiver on the same machine, in a real Chromium."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store


@pytest.fixture
def page(browser):
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


@pytest.fixture
def app(store):
    return create_app(store)


@pytest.fixture
def receiver(app):
    with serving(app) as url:
        yield url


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title>")

    def log_message(self, *_):
        pass


@contextmanager
def web_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def evil(page):
    """A page of http://evil.example, on another port of this machine."""
    with web_server() as port:
        page.goto(f"http://evil.example:{port}/")
        yield page


FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return [answer.status, await answer.text()];
    } catch (error) {
        return [0, String(error)];
    }
}"""
POISON = json.dumps({"reqPayload": "poison"})
FORM = """([url, text]) => {
    const form = document.body.appendChild(document.createElement("form"));
    Object.assign(form, {action: url, method: "post", enctype: "text/plain"});
    const field = form.appendChild(document.createElement("input"));
    Object.assign(field, {name: text.slice(0, -1), value: text.slice(-1)});
    form.submit();
}"""


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"mode": "no-cors"}, id="simple request"),
        pytest.param({"mode": "cors"}, id="cors"),
        pytest.param({"headers": {"Content-Type": "application/json"}}, id="preflight"),
        pytest.param(
            {"mode": "no-cors", "headers": {"Content-Type": "application/json"}}, id="no-cors JSON"
        ),
    ],
)
def test_other_site_cannot_report(evil, receiver, app, store, options):
    """A page of another site can store no report, however it sends one, and learns nothing."""
    sent = [f"{receiver}/report", {"method": "POST", "body": POISON, **options}]
    assert evil.evaluate(FETCH, sent)[0] == 0
    assert app.traffic.refused == {403: 1}
    assert store.count() == 0


def test_other_site_cannot_post_a_form(evil, receiver, store):
    """Nor does a form, which asks nobody before it is sent."""
    with evil.expect_navigation() as answered:
        evil.evaluate(FORM, [f"{receiver}/report", POISON])
    assert answered.value.status == 403
    assert store.count() == 0


def test_other_site_cannot_read(evil, receiver):
    """A page of another site reads nothing."""
    url = receiver.replace("/api/v1", "/metrics")
    assert evil.evaluate(FETCH, [url, {}])[0] == 0


def test_rebound_name(page, receiver, store):
    """A page whose name was made to point at this machine is of the same origin, and is refused."""
    port = urlsplit(receiver).port
    answer = page.goto(f"http://rebound.example:{port}/healthz")
    assert (answer.status, answer.json()["code"]) == (421, "MISDIRECTED_REQUEST")
    options = {"method": "POST", "body": POISON, "headers": {"Content-Type": "application/json"}}
    assert page.evaluate(FETCH, ["/api/v1/report", options])[0] == 421
    assert page.evaluate(FETCH, ["/metrics", {}])[0] == 421
    assert store.count() == 0


def test_own_page(page, evil, receiver, store):
    """The receiver's own pages can be opened from a link of any site, and can send requests."""
    url = receiver.replace("/api/v1", "/healthz")
    with evil.expect_navigation() as followed:
        evil.evaluate("url => { location.href = url; }", url)
    assert followed.value.status == 200
    options = {"method": "POST", "body": "{}", "headers": {"Content-Type": "application/json"}}
    assert page.evaluate(FETCH, ["/api/v1/report", options]) == [200, '{"status":"ok"}']
    assert store.count() == 1
