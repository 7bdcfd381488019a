from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest
from support.callers import Caller, httpx_of_openai
from support.scripted_openai import ScriptedOpenAI

from openpipe_report import _log
from openpipe_report._delivery import policies, registry
from openpipe_report.testing import captured_reports

# A job in the background of a shell ignores SIGINT, and so would each process of the tests.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CLEARED = ("OPENPIPE_", "OPENAI_", "AZURE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No setting of the machine's reaches a test, and no reporter outlives it."""
    for name in os.environ:
        if name.upper().startswith(CLEARED):
            monkeypatch.delenv(name)
    monkeypatch.setattr(_log, "_state", _log._State())
    policies.forget_policies()
    yield
    for reporter in registry.live_reporters():
        reporter.shutdown(0)


@pytest.fixture
def scripted():
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture
def reports():
    """The reports of the test's calls, as they would be sent."""
    with captured_reports() as captured:
        yield captured


@pytest.fixture(params=["sync", "async"])
def make_caller(request, scripted):
    """Make a caller on the scripted server, once sync and once async."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> Caller:
            arguments.setdefault("base_url", scripted.base_url)
            caller = Caller(request.param, **arguments)
            stack.callback(caller.close)
            return caller

        yield make


@pytest.fixture
def caller(make_caller):
    return make_caller()


@pytest.fixture(scope="session")
def library():
    """The httpx that openai itself uses."""
    return httpx_of_openai()
