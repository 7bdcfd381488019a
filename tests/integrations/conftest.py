"""Run by `make integrations`, in environments that have the libraries; elsewhere left out."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec

import pytest
from support.backend import Backend
from support.scripted_openai import ScriptedOpenAI

from integrations.harness import ROOT, Desk
from integrations.scripted_model import ScriptedModel

MODULES = {
    "openai_agents": "agents",
    "langchain_openai": "langchain_openai",
    "instructor": "instructor",
    "pydantic_ai": "pydantic_ai",
    "litellm": "litellm",
    "dspy": "dspy",
    "llama_index": "llama_index",
    "rq": "rq",
    "celery": "celery",
}
collect_ignore = [f"test_{name}.py" for name, module in MODULES.items() if not find_spec(module)]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing litellm fetches one


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """No library calls anybody beyond this machine."""
    look_up, strangers = socket.getaddrinfo, []

    def checked(host, *args, **kwargs):
        if host not in {"127.0.0.1", "localhost", None}:
            strangers.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "not in a test")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", checked)
    yield
    assert strangers == []


@pytest.fixture
def desk(monkeypatch):
    """Both servers, with the environment that leads to them."""
    model = ScriptedModel()
    with ScriptedOpenAI(otherwise=model) as server, Backend() as backend:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)
        yield Desk(server, backend, model, monkeypatch)


@pytest.fixture(scope="session")
def local_model():
    """The URL of the local model, started by scripts/check_integrations.py or else here."""
    if os.environ.get("LOCAL_MODEL_URL"):
        yield os.environ["LOCAL_MODEL_URL"]
        return
    sys.path.insert(0, str(ROOT / "examples"))
    from local_model import local_model

    with local_model() as base_url:
        yield base_url
