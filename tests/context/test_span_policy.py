"""A span goes nowhere that a client called inside would not report to, nor unmasked."""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.backend import HANG_GUARD, Backend
from support.shapes import chat_completion

from openpipe_report import Reporter, _environment, mask_keys, metadata, span
from openpipe_report._delivery import destination
from openpipe_report.testing import captured_reports

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def backends():
    with Backend() as first, Backend() as second:
        yield first, second


def inputs_of(backend):
    payloads = [post.report["reqPayload"] for post in backend.posts]
    return [payload["input"] for payload in payloads if "input" in payload]


def test_the_client_inside_decides(make_caller, scripted, backends, monkeypatch):
    """Its reporter is chosen before the environment's, and its hook is run."""
    ours, environments = backends
    monkeypatch.setenv("OPENPIPE_BASE_URL", environments.base_url)
    reporter = Reporter(base_url=ours.base_url, before_report=mask_keys("email"))
    caller = make_caller(reporter=reporter)
    scripted.json(chat_completion())
    with span("outer", request={"email": "a@b.c"}), span("inner", request={"email": "a@b.c"}):
        caller("chat.completions.create", **CHAT)
    assert reporter.flush(HANG_GUARD)
    assert inputs_of(ours) == [{"email": "[masked]"}] * 2
    assert environments.posts == []
    with span("alone", request={"n": 1}):
        pass
    assert destination.environment_config().reporter.flush(HANG_GUARD)
    assert inputs_of(environments) == [{"n": 1}]


def test_hooks_of_all_clients_inside(make_caller, scripted, backends):
    """Where policies meet, a span passes the hooks of all; one that fails drops it."""
    first, second = backends
    emails = Reporter(base_url=first.base_url, before_report=mask_keys("email"))
    phones = Reporter(base_url=second.base_url, before_report=mask_keys("phone"))
    broken = Reporter(base_url=second.base_url, before_report=lambda report: 1 / 0)
    plain = Reporter(base_url=first.base_url)
    request = {"email": "a@b.c", "phone": "123", "city": "Rome"}
    for inside in ([emails, phones], [broken]):
        with span("work", request=request, reporter=plain):
            for reporter in inside:
                scripted.json(chat_completion())
                make_caller(reporter=reporter)("chat.completions.create", **CHAT)
    for reporter in (plain, emails, phones, broken):
        reporter.flush(HANG_GUARD)
    assert inputs_of(first) == [{"email": "[masked]", "phone": "[masked]", "city": "Rome"}]
    assert inputs_of(second) == []
    assert plain.stats().dropped == {"could not be built": 1}


def test_captured_reports_go_by_each_policy(make_caller, scripted):
    """Reports are captured as they would have been sent."""
    masked = Reporter(base_url="http://127.0.0.1:9", before_report=mask_keys("content"))
    never = Reporter(base_url="http://127.0.0.1:9", sample_rate=0)
    small = Reporter(base_url="http://127.0.0.1:9", max_report_bytes=1024)
    for reporter, count in ((masked, 1), (never, 0), (small, 1)):
        caller = make_caller(reporter=reporter)
        scripted.json(chat_completion())
        with captured_reports() as reports:
            caller("chat.completions.create", **{**CHAT, "user": "u" * 5000})
            reporter.report(reqPayload={"content": "x" * 5000})
        assert len(reports) == 2 * count
        if reporter is masked:
            assert reports[0].reqPayload["messages"][0]["content"] == "[masked]"
            assert reports[1].reqPayload == {"content": "[masked]"}
        if reporter is small:
            assert "[cut:" in reports[0].reqPayload["user"]
        assert reporter.stats().pending == 0


def test_no_settings_are_loaded(monkeypatch):
    """Leaving a span loads no settings, once they are known."""
    monkeypatch.setenv("OPENPIPE_BASE_URL", "http://127.0.0.1:9/x")
    monkeypatch.setattr(Reporter, "submit", lambda self, source: True)
    with span("first"):
        pass
    loads = []
    monkeypatch.setattr(_environment, "read_settings", lambda *given: loads.append(given))
    monkeypatch.setattr(destination, "load_settings", lambda *given: loads.append(given))
    for _ in range(3):
        with span("work"):
            pass
    assert loads == []


def opt_out_client(make_caller):
    return make_caller(openpipe={"enabled": False}), {}


def opt_out_call(make_caller):
    return make_caller(), {"extra_body": {"openpipe": {"log_request": False}}}


def opt_out_misspelt(make_caller):
    return make_caller(), {"extra_body": {"openpipe": {"log_requests": False}}}


def opt_out_block(make_caller):
    caller = make_caller()

    def call(*args, **kwargs):
        with metadata(report=False):
            return caller(*args, **kwargs)

    return call, {}


OPT_OUTS = [opt_out_client, opt_out_call, opt_out_misspelt, opt_out_block]


@pytest.mark.parametrize("opt_out", OPT_OUTS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_not_reported_is_in_no_span(opt_out, fails, make_caller, scripted, reports):
    """The spans around a call that is not to be reported tell that they were, and no more."""
    call, arguments = opt_out(make_caller)
    scripted.json(chat_completion("SECRET answer"))
    with suppress(ValueError), span("outer", request="SECRET"), span("inner") as inner:
        completion = call("chat.completions.create", **CHAT, **arguments)
        inner.response = completion.choices[0].message.content
        if fails:
            raise ValueError("SECRET")
    assert [report.reqPayload["name"] for report in reports] == ["inner", "outer"]
    assert all("SECRET" not in report.to_json().decode() for report in reports)
    assert all("withheld" in report.reqPayload["input"] for report in reports)
    with span("next", request="not secret"):
        pass
    assert reports[-1].reqPayload["input"] == "not secret"


def test_disabled_client_is_not_captured(make_caller, scripted, reports):
    """`enabled=False` as an argument holds in `captured_reports()`, too."""
    reporter = Reporter(base_url="http://127.0.0.1:9", enabled=False)
    for arguments in ({"openpipe": {"enabled": False}}, {"reporter": reporter}):
        scripted.json(chat_completion())
        make_caller(**arguments)("chat.completions.create", **CHAT)
    assert not reporter.report(reqPayload=1)
    assert reports == []


@pytest.mark.parametrize("report", ["false", 0, None])
def test_report_of_a_span_is_a_boolean(report):
    """`span(report=...)` takes True or False."""
    with pytest.raises(TypeError, match="True or False"):
        span("work", report=report)


def test_only_a_reporter_of_the_program(backends, caplog):
    """Where the environment names no server, the only reporter is used, and nothing is said."""
    reporter = Reporter(base_url=backends[0].base_url)
    with span("work", request={"n": 1}):
        pass
    assert reporter.flush(HANG_GUARD)
    assert inputs_of(backends[0]) == [{"n": 1}]
    assert "disabled" not in caplog.text
