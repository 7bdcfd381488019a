"""A server that loads the application once and forks its workers afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.backend import HANG_GUARD, OK, Backend
from support.scripted_openai import Reply
from support.shapes import chat_completion

import openpipe_report

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
pytest.importorskip("gunicorn")

WORKERS, REQUESTS = 4, 60

APPLICATION = """
import os
from openpipe_report import OpenAI, Reporter, span

reporter = Reporter()
client = OpenAI(reporter=reporter)
for number in range(20):
    with span(f"master-{number}", reporter=reporter):
        pass

def application(environ, start_response):
    label = environ["PATH_INFO"]
    client.chat.completions.create(
        model="m", messages=[], extra_body={"label": label, "pid": os.getpid()}
    )
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [label.encode()]
"""


def label_of(post):
    """The label of a call, or a span's name."""
    payload = post.report["reqPayload"]
    return payload.get("label") or payload["name"]


def start(folder, listener, *options):
    """Start the server on a socket that listens already, so that nobody waits for it to come up."""
    (folder / "shop.py").write_text(APPLICATION)
    package = Path(openpipe_report.__file__).parents[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)]
    command += ["--bind", f"fd://{listener.fileno()}", "--log-level", "warning", *options]
    return subprocess.Popen(
        [*command, "shop:application"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(package)},
        pass_fds=[listener.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("threads", [1, 4], ids=["sync", "gthread"])
def test_preloaded_workers(threads, scripted, tmp_path, monkeypatch):
    """Master and workers deliver what is theirs, none twice, a call that SIGTERM came upon too."""
    body = json.dumps(chat_completion()).encode()
    reply = Reply([body], headers=[("Content-Type", "application/json")], length=len(body))
    together, at_work = threading.Barrier(WORKERS), threading.Event()
    late, stopped = threading.Event(), threading.Event()

    def answer_call(request):
        label = request.json()["label"]
        if label.startswith("/first"):  # one worker cannot take two of them
            together.wait(HANG_GUARD)
        if label == "/late":
            late.set()
            assert stopped.wait(HANG_GUARD)
        return reply

    def answer_report(post):
        if label_of(post).startswith("master"):  # it forks in the midst of sending
            assert at_work.wait(HANG_GUARD)
        at_work.set()
        return OK

    scripted.otherwise = answer_call
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
    with (
        Backend() as backend,
        socket.create_server(("127.0.0.1", 0), backlog=100) as listener,
        ThreadPoolExecutor(8) as visitors,
    ):
        backend.answer = answer_report
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)
        server = start(tmp_path, listener, "--threads", str(threads))
        root = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def visit(path):
            with urllib.request.urlopen(root + path, timeout=HANG_GUARD) as page:
                return page.read().decode()

        paths = [f"/first-{number}" for number in range(WORKERS)]
        assert list(visitors.map(visit, paths)) == paths
        paths += [f"/{number}" for number in range(REQUESTS)]
        assert list(visitors.map(visit, paths[WORKERS:])) == paths[WORKERS:]
        last = visitors.submit(visit, "/late")
        assert late.wait(HANG_GUARD)
        server.send_signal(signal.SIGTERM)
        stopped.set()
        assert last.result(HANG_GUARD) == "/late"
        output = server.communicate(timeout=HANG_GUARD)

        assert (server.returncode, *output) == (0, "", "")
        expected = [*paths, "/late", *(f"master-{number}" for number in range(20))]
        assert Counter(map(label_of, backend.posts)) == Counter(expected)
        assert len({post.key for post in backend.posts}) == len(expected)
        if threads == 1:
            payloads = [post.report["reqPayload"] for post in backend.posts]
            assert len({payload["pid"] for payload in payloads if "pid" in payload}) == WORKERS
