"""What OpenTelemetry, Sentry and the log see: the user's own calls, and none of our POSTs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading

import httpx
import openai
import pytest
from opentelemetry import context
from opentelemetry.instrumentation import httpx as instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.backend import HANG_GUARD, Backend, Made, run_script
from support.shapes import chat_completion

from openpipe_report import Reporter


@pytest.fixture
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture(params=["own", "given"])
def reporter(request, backend):
    """A reporter with its own connections, and one with a client of the user's."""
    with httpx.Client() as client:
        given = {"http_client": client} if request.param == "given" else {}
        reporter = Reporter(base_url=backend.base_url, **given)
        yield reporter
        reporter.shutdown()


@pytest.fixture
def spans(library):
    """OpenTelemetry's spans of every request of httpx's, and of httpx2's where openai uses it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = [instrumentation.HTTPXClientInstrumentor()]
    if library.__name__ == "httpx2":
        instrumentors.append(instrumentation.HTTPX2ClientInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    yield lambda: [(span.name, dict(span.attributes)) for span in exporter.get_finished_spans()]
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    provider.shutdown()


def test_opentelemetry(make_caller, scripted, backend, reporter, spans):
    """A call yields the span that it does with the bare client, and its report none."""
    scripted.json(chat_completion())
    make_caller(package=openai)("chat.completions.create", model="m", messages=[])
    [bare] = spans()
    scripted.json(chat_completion())
    make_caller(reporter=reporter)("chat.completions.create", model="m", messages=[])
    assert reporter.flush()
    assert spans() == [bare, bare]
    [post] = backend.posts
    assert "traceparent" not in post.headers
    headers = [request.header("traceparent") for request in scripted.requests]
    assert all(headers), "the instrumentation works"
    assert context.get_value("suppress_instrumentation") is None


def test_log(backend, reporter, caplog):
    """A report leaves no line in the user's log but that of where the first one goes."""
    caplog.set_level(logging.DEBUG)
    reporter.submit(Made())
    assert reporter.flush()
    reporter.shutdown()
    while reporter.stats().threads:  # the last of them closes the connections
        threading.Event().wait(0.001)
    assert backend.labels == ["a"]
    [record] = caplog.records
    assert record.getMessage().startswith("openpipe_report: reporting to 127.0.0.1")


USER = """
import json, os, time
import httpx, openai, pytest
from openpipe_report import OpenAI, flush, stats
from openpipe_report.testing import captured_reports

ANSWER = json.loads(%r)

def answer(text):
    return json.loads(json.dumps(ANSWER).replace("Hello", text))

def ask(transport):
    client = OpenAI(
        api_key="k", base_url=os.environ["OPENAI"], http_client=transport, max_retries=0
    )
    completion = client.chat.completions.create(model="m", messages=[])
    return completion.choices[0].message.content
"""


@pytest.fixture
def run_pytest(backend, tmp_path):
    """Run a user's tests in a process of its own, whose plugins are those that are installed."""

    def run(tests, *options, openai="http://openai.test/v1"):
        (tmp_path / "test_user.py").write_text(USER % json.dumps(chat_completion("Hello")) + tests)
        always = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "ignore"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *always, *options, tmp_path],
            env={**os.environ, "OPENPIPE_BASE_URL": backend.base_url, "OPENAI": openai},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=HANG_GUARD,
            check=False,
        )

    return run


PYTEST_HTTPX = """
@pytest.mark.parametrize("number", range(3))
def test_two_questions(httpx_mock, number):
    for text in ("first", "second"):
        httpx_mock.add_response(json=answer(text))
    with httpx.Client() as transport:
        for text in ("first", "second"):
            assert text in ask(transport)
            assert flush(30)
"""


def test_pytest_httpx(backend, run_pytest):
    """Answers that pytest-httpx has for the user's calls are not taken by our reports."""
    done = run_pytest(PYTEST_HTTPX)
    assert "3 passed" in done.stdout, done.stdout
    assert len(backend.posts) == 6


RESPX = """
import respx

@pytest.mark.parametrize("number", range(3))
def test_two_questions(respx_mock, number):
    answers = [httpx.Response(200, json=answer(text)) for text in ("first", "second")]
    route = respx_mock.route().mock(side_effect=answers)
    with httpx.Client() as transport:
        for text in ("first", "second"):
            assert text in ask(transport)
            assert flush(30)
    assert route.call_count == 2
"""


def test_respx(backend, run_pytest):
    """Answers that respx has for the user's calls are not taken by our reports."""
    done = run_pytest(RESPX)
    assert "3 passed" in done.stdout, done.stdout
    assert len(backend.posts) == 6


CASSETTE = """
import vcr, yaml

@pytest.mark.parametrize("mode", ["once", "none"])
def test_one_question(mode):
    with vcr.use_cassette("cassette.yaml", record_mode=mode), httpx.Client() as transport:
        assert "Hello" in ask(transport)
        assert flush(30)
    with open("cassette.yaml") as cassette:
        [recorded] = yaml.safe_load(cassette)["interactions"]
    assert recorded["request"]["uri"].startswith(os.environ["OPENAI"])
"""


def test_vcr(backend, scripted, run_pytest):
    """A cassette has the user's requests only, and is not asked for an answer to a report."""
    scripted.json(chat_completion("Hello"))
    done = run_pytest(CASSETTE, openai=scripted.base_url)
    assert "2 passed" in done.stdout, done.stdout
    assert len(scripted.requests) == 1, "the second answer is the cassette's"
    assert len(backend.posts) == 2


CAPTURED = """
import vcr, yaml

def test_one_question():
    with captured_reports() as reports, vcr.use_cassette("cassette.yaml"):
        with httpx.Client() as transport:
            assert "Hello" in ask(transport)
    assert len(reports) == 1
    with open("cassette.yaml") as cassette:
        assert len(yaml.safe_load(cassette)["interactions"]) == 1
"""


def test_vcr_with_captured_reports(backend, scripted, run_pytest):
    """`captured_reports()` around a cassette keeps reports out of it, and from being sent."""
    scripted.json(chat_completion("Hello"))
    done = run_pytest(CAPTURED, openai=scripted.base_url)
    assert "1 passed" in done.stdout, done.stdout
    assert backend.posts == []


SOCKETS = """
def transport():
    return httpx.Client(transport=httpx.MockTransport(
        lambda request: httpx.Response(200, json=answer("Hello"))
    ))

def test_reports_wait():
    with transport() as client:
        assert "Hello" in ask(client)
    assert not flush(0.2)
    assert stats().pending == 1

def test_captured():
    with captured_reports() as reports, transport() as client:
        assert "Hello" in ask(client)
    assert len(reports) == 1
"""


def test_pytest_socket(backend, run_pytest):
    """Without sockets no test fails; a report waits until they are allowed, after the tests."""
    done = run_pytest(SOCKETS, "--disable-socket")
    assert "2 passed" in done.stdout, done.stdout
    assert (len(backend.posts), done.stderr) == (1, "")


SENTRY = """
import json, logging, re
import httpx, openai, openpipe_report, sentry_sdk
from support.scripted_openai import ScriptedOpenAI
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport
from support.shapes import chat_completion

class Kept(Transport):
    def capture_envelope(self, envelope):
        items.extend(item.payload.json for item in envelope.items)

def keep(crumb, hint):
    if crumb["category"] != "openpipe_report":  # our own lines are the user's to see
        crumbs.append(crumb)
    return crumb

def hide_numbers(text):
    return re.sub("[0-9]+", "#", text or "")

def told(crumb):
    url = (crumb.get("data") or {}).get("url", "")
    return [crumb["category"], hide_numbers(crumb.get("message") or url)[:50]]

def observe(package, **arguments):
    "What is seen of one call: spans, all breadcrumbs, and those that the user's events have."
    items.clear()
    crumbs.clear()
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        with sentry_sdk.start_transaction(name="work"):
            asyncio.run(call(package, arguments)) if is_async else call(package, arguments)
            if "reporter" in arguments:
                assert arguments["reporter"].flush()
                arguments["reporter"].shutdown()
                while arguments["reporter"].stats().threads:
                    threading.Event().wait(0.001)
        sentry_sdk.capture_message("done")
    [work] = [item for item in items if item.get("type") == "transaction"]
    [event] = [item for item in items if "message" in item]
    spans = [[span["op"], hide_numbers(span["description"])] for span in work["spans"]]
    seen = [told(crumb) for crumb in event["breadcrumbs"]["values"]]
    return {"spans": spans, "crumbs": [told(crumb) for crumb in crumbs], "event": seen}

def call_sync(package, arguments):
    scripted.json(chat_completion())
    with package.OpenAI(api_key="sk", base_url=scripted.base_url, **arguments) as client:
        client.chat.completions.create(model="m", messages=[])

async def call_async(package, arguments):
    scripted.json(chat_completion())
    async with package.AsyncOpenAI(
        api_key="sk", base_url=scripted.base_url, **arguments
    ) as client:
        await client.chat.completions.create(model="m", messages=[])

items, crumbs = [], []
is_async = sys.argv[2] == "async"
call = call_async if is_async else call_sync
logging.getLogger().setLevel(logging.DEBUG)
sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1",
    transport=Kept,
    traces_sample_rate=1.0,
    before_breadcrumb=keep,
    integrations=[LoggingIntegration(level=logging.DEBUG, event_level=None)],
)
integrations = sentry_sdk.get_client().integrations
assert {"httpx", "stdlib", "threading", "logging"} <= set(integrations), integrations
given = httpx.Client()
with ScriptedOpenAI() as scripted:
    observe(openai)  # what openai asks of the system once
    print(json.dumps([
        observe(openai),
        observe(openpipe_report, reporter=reporter),
        observe(openpipe_report, reporter=Reporter(base_url=sys.argv[1], http_client=given)),
    ]))
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sentry(kind, backend):
    """
    A call yields what it does with the bare client, and our own connections nothing.

    Sentry watches each `httpx.Client`: one that the user gives us is seen to send, as any other
    of the user's is, but none of the user's events tells of it.
    """
    done = run_script(backend.base_url, SENTRY, kind)
    assert (done.returncode, done.stderr) == (0, "")
    bare, own, given = json.loads(done.stdout)
    call, report = (f"http://#.#.#.#:#/{path}" for path in ("v#/chat/completions", "api/v#/report"))
    assert ["http.client", f"POST {call}"] in bare["spans"]
    assert ["httplib", call] in bare["crumbs"]
    assert own == bare
    assert given["spans"] == [*bare["spans"], ["http.client", f"POST {report}"]]
    assert sorted(given["crumbs"]) == sorted([*bare["crumbs"], ["httplib", report]])
    assert given["event"] == bare["event"]
    headers = [set(post.headers) & {"sentry-trace", "baggage"} for post in backend.posts]
    assert headers == [set(), {"sentry-trace", "baggage"}]
