"""What a wrong or unknown variable of the environment does: it is named, and nothing leaks."""

from __future__ import annotations

import json
import logging
import sys
import types

import httpx
import pytest
from support.backend import HANG_GUARD, Made
from support.shapes import chat_completion

from openpipe_report import OpenAI, Reporter, span
from openpipe_report._environment import load_settings, read_settings
from openpipe_report._report.encode import encode_report

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
URL = "http://127.0.0.1:9/api/v1"
SET = {"OPENPIPE_BASE_URL": URL}


@pytest.mark.parametrize(
    "variable, value, meant",
    [
        ("OPENPIPE_BASEURL", URL, "OPENPIPE_BASE_URL"),
        ("OPENPIPE_URL", URL, "OPENPIPE_BASE_URL"),
        ("OPENPIPE_REPORT_BASE_URL", URL, "OPENPIPE_BASE_URL"),
        ("openpipe_base_url", URL, "OPENPIPE_BASE_URL"),
        ("OPENPIPE_KEY", "k", "OPENPIPE_API_KEY"),
        ("OPENPIPE_APIKEY", "k", "OPENPIPE_API_KEY"),
        ("OPENPIPE_ENABLED", "false", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_REPORT_ENABLE", "0", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_DISABLED", "1", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_REPORT_SAMPLERATE", "0", "OPENPIPE_REPORT_SAMPLE_RATE"),
        ("OPENPIPE_REPORT_SAMPLING_RATE", "0", "OPENPIPE_REPORT_SAMPLE_RATE"),
        ("OPENPIPE_REPORTS_SPOOL", "f", "OPENPIPE_REPORT_SPOOL"),
        ("OPENPIPE_REPORT_ENDPOINT", "responses", "OPENPIPE_REPORT_ENDPOINTS"),
        ("OPENPIPE_REPORT_BEFORE_REPROT", "a:b", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_REPORT_HOOK", "a:b", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_REPORT_MASK", "1", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_MASK_KEYS", "email", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_REDACTION", "1", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_REPORT_PRIVACY", "1", "OPENPIPE_REPORT_BEFORE_REPORT"),
        ("OPENPIPE_REPORT_OFF", "1", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_OPT_OUT", "1", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_REPORT_DISABLED", "1", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_REPORT", "0", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_REPORTING", "0", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_NO_REPORT", "1", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_LOG_REQUESTS", "0", "OPENPIPE_REPORT_ENABLED"),
        ("OPENPIPE_HOST", "h", "OPENPIPE_BASE_URL"),
        ("OPENPIPE_SERVER", "h", "OPENPIPE_BASE_URL"),
        ("OPENPIPE_API_BASE", URL, "OPENPIPE_BASE_URL"),
        ("OPENPIPE_TOKEN", "k", "OPENPIPE_API_KEY"),
        ("OPENPIPE_REPORT_EXCLUDE", "responses", "OPENPIPE_REPORT_ENDPOINTS"),
    ],
)
def test_misspelt_and_decisive(variable, value, meant):
    """A variable that resembles a setting that decides where reports go turns reporting off."""
    settings, problems = read_settings({**SET, variable: value})
    assert not settings.active
    assert [str(problem) for problem in problems] == [
        f"{variable} is not known: did you mean {meant}?"
    ]


@pytest.mark.parametrize(
    "variable, text",
    [
        ("OPENPIPE_REPORT_SENDER", "did you mean OPENPIPE_REPORT_SENDERS?"),
        ("OPENPIPE_REPORT_READTIMEOUT", "did you mean OPENPIPE_REPORT_READ_TIMEOUT?"),
        ("OPENPIPE_REPORT_ON_DROP", "on_drop can only be given as an argument"),
        ("OPENPIPE_REPORT_TIME_OUT", "did you mean OPENPIPE_REPORT_READ_TIMEOUT?"),
        ("OPENPIPE_LOG_LEVEL", "is not known: correct its name or unset it"),
        ("OPENPIPE_ZZZ", "is not known: correct its name or unset it"),
    ],
)
def test_unknown_and_harmless(variable, text):
    """Another unknown variable is named, and reporting goes on."""
    settings, problems = read_settings({**SET, variable: "x"})
    assert settings.active
    assert len(problems) == 1
    assert text in str(problems[0])
    assert not problems[0].turns_off


def test_variables_of_the_commands():
    """The variables of the command line have no effect on a program, and are not named."""
    names = ("DB", "READ_KEY", "READ_URL")
    settings, problems = read_settings({**SET, **{f"OPENPIPE_REPORT_{one}": "x" for one in names}})
    assert (settings.active, problems) == (True, [])


@pytest.mark.parametrize("service", ["OPENPIPE", "OPENPIPE_REPORT", "OPENPIPE_RECEIVER"])
def test_services_of_kubernetes(service):
    """The variables that Kubernetes makes of a service's name are no settings, and not named."""
    environ = {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "80",
        f"{service}_SERVICE_PORT_HTTP": "80",
        f"{service}_PORT": "tcp://10.0.0.1:80",
        f"{service}_PORT_80_TCP": "tcp://10.0.0.1:80",
        f"{service}_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    settings, problems = read_settings({**SET, **environ})
    assert settings.active
    assert problems == []
    del environ[f"{service}_SERVICE_HOST"]
    assert len(read_settings({**SET, **environ})[1]) == 5


def test_an_argument_decides():
    """What a misspelt variable was meant for does not matter where an argument says it."""
    environ = {"OPENPIPE_BASEURL": URL, "OPENPIPE_REPORT_SENDERS": "many"}
    settings, problems = read_settings(environ, {"base_url": URL, "senders": 2})
    assert settings.active
    assert [problem.variable for problem in problems] == ["OPENPIPE_BASEURL"]


@pytest.mark.parametrize(
    "variable, value, text",
    [
        ("OPENPIPE_REPORT_SENDERS", "many", "got 'many'; correct it or unset it"),
        ("OPENPIPE_REPORT_SAMPLE_RATE", "2", "less than or equal to 1"),
        ("OPENPIPE_BASE_URL", "ftp://user:secret@h/x", "must hold no user or password"),
        ("OPENPIPE_API_KEY", "secret key", "must be printable ASCII"),
        ("OPENPIPE_REPORT_ENABLED", "maybe", "got 'maybe'"),
        ("OPENPIPE_REPORT_BEFORE_REPORT", "nowhere.at.all:f", "ModuleNotFoundError"),
        ("OPENPIPE_REPORT_BEFORE_REPORT", "json:nothing", "AttributeError"),
        ("OPENPIPE_REPORT_BEFORE_REPORT", "json.dumps", "package.module:function"),
        ("OPENPIPE_REPORT_BEFORE_REPORT", "json:__doc__", "must be a plain function"),
    ],
)
def test_wrong_value(caller, scripted, monkeypatch, caplog, variable, value, text):
    """A wrong variable stops no program: nothing is reported, and one ERROR names it."""
    monkeypatch.setenv("OPENPIPE_BASE_URL", URL)
    monkeypatch.setenv(variable, value)
    for _ in range(2):
        client = OpenAI(api_key="sk-test", base_url=scripted.base_url)
        scripted.json(chat_completion())
        assert client.chat.completions.create(**CHAT).choices
        client.close()
        with span("work"):
            pass
    assert not Reporter(base_url=URL, api_key="k").settings.enabled or variable in {
        "OPENPIPE_BASE_URL",
        "OPENPIPE_API_KEY",
    }
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert len(caplog.records) == 1
    assert "reporting is disabled" in errors[0].getMessage()
    assert variable in errors[0].getMessage()
    assert text in errors[0].getMessage()
    assert "secret" not in caplog.text


def test_hook_by_name(monkeypatch):
    """`before_report` can be named in the environment."""
    module = types.ModuleType("acme_hooks")
    module.mask = lambda report: None
    monkeypatch.setitem(sys.modules, "acme_hooks", module)
    settings = load_settings({**SET, "OPENPIPE_REPORT_BEFORE_REPORT": "acme_hooks:mask"})
    assert settings.active
    assert settings.before_report is module.mask


SERVICE = {"OPENPIPE_REPORT_METADATA": "service=checkout, env=prod"}
KINDS = {"n": 1, "b": True, "f": 0.5, "z": None}


@pytest.mark.parametrize(
    "environ, given, labels",
    [
        (SERVICE, {}, {"service": "checkout", "env": "prod"}),
        ({"OPENPIPE_REPORT_METADATA": "a=b=c,"}, {}, {"a": "b=c"}),
        ({}, {"metadata": KINDS}, KINDS),
        ({"OTEL_SERVICE_NAME": "shop"}, {}, {"service.name": "shop"}),
        ({"OTEL_SERVICE_NAME": "shop"}, {"metadata": {"service.name": "a"}}, {"service.name": "a"}),
    ],
)
def test_static_labels(environ, given, labels):
    """Every report has them, under those of blocks and calls."""
    settings = load_settings({**SET, **environ}, given)
    assert settings.metadata == labels
    source = Made(reqPayload={"metadata": {"env": "own"}})
    assert json.loads(encode_report(source, settings))["reqPayload"]["metadata"] == {
        **labels,
        "env": "own",
    }
    for payload in ("text", {"metadata": "text"}, None):
        body = json.loads(encode_report(Made(reqPayload=payload), settings))
        assert body["reqPayload"] == payload


@pytest.mark.parametrize("text", ["service", "=x", "a=1,b"])
def test_wrong_labels(text):
    """What is no label turns reporting off, as any wrong variable does."""
    settings, problems = read_settings({**SET, "OPENPIPE_REPORT_METADATA": text})
    assert not settings.enabled
    assert "must be labels such as" in str(problems[0])


@pytest.mark.parametrize("is_hosted", [False, True])
def test_destination_is_said(is_hosted, caplog):
    """The first report of a process says once where it goes; louder where nobody named it."""
    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "ok"}))
    )
    given = {"api_key": "k"} if is_hosted else {"base_url": URL}
    with caplog.at_level(logging.INFO, "openpipe_report"):
        for _ in range(2):
            reporter = Reporter(**given, http_client=client)
            reporter.report(reqPayload=1)
            assert reporter.flush(HANG_GUARD)
            reporter.shutdown(0)
    [record] = caplog.records
    assert record.levelno == (logging.WARNING if is_hosted else logging.INFO)
    host = "api.openpipe.ai" if is_hosted else "127.0.0.1:9"
    assert f"reporting to {host}" in record.getMessage()
