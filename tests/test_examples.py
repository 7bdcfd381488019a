"""Each example runs as its own text says, and each call of it is reported."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.backend import HANG_GUARD, Backend
from support.scripted_openai import Reply
from support.shapes import chat_chunks, chat_completion

EXAMPLES = Path(__file__).parent.parent / "examples"
ELSEWHERE = {"quickstart", "local_model", "demo"}
"""`make demo` runs these."""

SCRIPTS = {
    "streaming": (1, "One two three"),
    "async_fan_out": (5, "Lima: Hello"),
    "rag_spans": (1 + 4 + 1 + 1, "Hello"),
    "script_with_spool": (3, "delivered: True"),
    "redaction": (1, "Hello"),
}
APPS = {
    "fastapi_app": ["uvicorn", "--log-level", "warning", "--fd"],
    "gunicorn_app": ["gunicorn", "--preload", "--log-level", "warning", "--bind"],
}


def answer(request):
    if request.json().get("stream"):
        events = [*chat_chunks("One two three"), b"data: [DONE]\n\n"]
        return Reply(events, headers=[("Content-Type", "text/event-stream")])
    body = json.dumps(chat_completion("Hello")).encode()
    return Reply([body], headers=[("Content-Type", "application/json")], length=len(body))


@pytest.fixture
def environment(scripted, monkeypatch):
    """An OpenAI and a receiver for processes that are started, as the environment says it."""
    scripted.otherwise = answer
    with Backend() as backend:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)
        monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield backend


def test_all_are_tried():
    """No example is forgotten here."""
    tried = {*SCRIPTS, *APPS, *ELSEWHERE, "test_your_code", "feedback_app"}
    assert tried == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, environment, tmp_path):
    """A script prints what it promises; each call and span of it is one report."""
    count, printed = SCRIPTS[name]
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout
    assert len({post.key for post in environment.posts}) == count
    sent = b"".join(post.body for post in environment.posts)
    assert b"4111" not in sent
    assert b"ada@example.org" not in sent
    assert b'Ada"' not in sent
    if name == "rag_spans":
        tags = [post.report["tags"] for post in environment.posts]
        assert len({each["$trace_id"] for each in tags}) == 1


@contextmanager
def running(name, server):
    """Run an application until it is ended by SIGTERM; gives its URL."""
    pytest.importorskip(server[0], reason="in the `server` extra or the `test` group")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bound = str(listener.fileno()) if server[0] == "uvicorn" else f"fd://{listener.fileno()}"
        process = subprocess.Popen(
            [sys.executable, "-m", *server, bound, f"{name}:app"],
            cwd=EXAMPLES,
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=HANG_GUARD)
    assert "Traceback" not in errors


def fetch(url, body=None):
    """Get a page, or post JSON to it."""
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=HANG_GUARD) as response:
        return response.read()


@pytest.mark.parametrize("name, server", APPS.items(), ids=APPS)
def test_app(name, server, environment):
    """An application answers, reports with its labels, and delivers when it is ended."""
    with running(name, server) as url:
        assert b"Hello" in fetch(f"{url}/ask?user=u-42&question=Hi")
    [post] = environment.posts
    assert post.report["reqPayload"]["metadata"]["route"] == "/ask"


def test_feedback_app(environment):
    """A verdict on an answer of the page becomes a change of labels of its report."""
    with running("feedback_app", APPS["fastapi_app"]) as url:
        assert b"<template>" in fetch(url)
        answer = json.loads(fetch(f"{url}/chat", {"question": "Hi"}))
        assert answer == {"id": "chatcmpl-1", "answer": "Hello"}
        judgement = {"id": answer["id"], "verdict": "down", "comment": "No <b>"}
        assert json.loads(fetch(f"{url}/feedback", judgement)) == {"queued": True}
        with pytest.raises(urllib.error.HTTPError, match="422"):
            fetch(f"{url}/feedback", {**judgement, "verdict": "maybe"})
    [update] = environment.updates
    assert update["filters"] == [{"field": "completionId", "equals": "chatcmpl-1"}]
    assert update["metadata"] == {"feedback": "down", "comment": "No <b>"}
    assert len(environment.posts) == 2


def test_your_code():
    """The example of a test passes as one."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_your_code.py"],
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=HANG_GUARD,
        check=False,
    )
    assert "1 passed" in done.stdout
