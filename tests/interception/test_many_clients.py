"""A thousand clients: made, used and dropped, they leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from support.backend import Backend, run_script
from support.scripted_openai import Reply
from support.shapes import chat_completion

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")

COMMON = """
import asyncio, gc, os, sys, threading, tracemalloc
from collections import Counter
import openpipe_report
from openpipe_report import AsyncOpenAI, OpenAI, Reporter
from openpipe_report._delivery import registry

KINDS = (OpenAI, AsyncOpenAI, Reporter)
GIVEN = {"api_key": "sk-test", "base_url": sys.argv[2], "max_retries": 0}

def census():
    "Live objects of ours, open files and threads."
    while gc.collect():
        pass
    kinds = [type(thing) for thing in gc.get_objects()]
    found = Counter(kind.__name__ for kind in kinds if issubclass(kind, KINDS))
    return {**found, "files": len(os.listdir("/proc/self/fd")), "threads": threading.active_count()}

def settle(expected):
    "Wait until it is as it was; the last connections and threads end by themselves."
    while (found := census()) != expected:
        threading.Event().wait(0.01)

async def use(client, label):
    "Call once, and close the connection, as somebody has to with openai's own client."
    call = client.chat.completions.create(model="m", messages=[], extra_body={"label": label})
    if isinstance(client, AsyncOpenAI):
        await call
        await client.close()
    else:
        client.close()

class Peak:
    threads = 0

    def note(self):
        names = [thread.name for thread in threading.enumerate()]
        self.threads = max(self.threads, names.count("openpipe-report"))
"""

SAME = """
def go_round():
    "A thousand clients with the same settings, every twentieth of them used; all dropped."
    reporters = set()
    clients = []
    for number in range(1000):
        if number % 3 == 2:
            client = clients[-1 - number % 2].with_options(timeout=number)
        else:
            cls = AsyncOpenAI if number % 3 else OpenAI
            client = cls(**GIVEN, openpipe={"base_url": sys.argv[1], "senders": 3})
        clients.append(client)
        reporters.add(client._openpipe_config.reporter)
        peak.note()

    async def use_some():
        for number, client in enumerate(clients):
            if number % 20 == 0:
                await use(client, number)
                peak.note()

    asyncio.run(use_some())
    [reporter] = reporters
    assert reporter.flush()
    assert reporter.stats().delivered == 50

peak = Peak()
before = census()
go_round()
settle(before)
tracemalloc.start()
grown = []
for _ in range(2):
    start = tracemalloc.get_traced_memory()[0]
    go_round()
    settle(before)
    grown.append(tracemalloc.get_traced_memory()[0] - start)
assert 1 <= peak.threads <= 3, peak.threads
assert not registry.live_reporters()
print(min(grown))  # a leak grows each time, what is cached once does not
"""

DIFFERENT = """
def go_round(numbers):
    "Clients with a key each, every 25th of them used; all dropped."
    clients = []
    for number in numbers:
        settings = {"base_url": sys.argv[1], "api_key": f"opk-{number}"}
        if sys.argv[3]:
            settings["spool"] = f"{sys.argv[3]}-{number}"
        clients.append((OpenAI, AsyncOpenAI)[number % 2](**GIVEN, openpipe=settings))
    assert len(registry.live_reporters()) == len(numbers)

    async def use_some():
        for number, client in list(zip(numbers, clients))[::25]:
            await use(client, number)

    asyncio.run(use_some())
    assert threading.active_count() > 1
    assert openpipe_report.flush()

before = census()
go_round(range(1000))
settle(before)
go_round(range(500, 1000))  # what was delivered is in no spool
settle(before)
assert not registry.live_reporters()
"""


@pytest.fixture
def scripted_for_all(scripted, tmp_path, monkeypatch):
    """OpenAI answers any call; clients load one certificate and not all of the machine's."""
    body = json.dumps(chat_completion()).encode()
    headers = [("Content-Type", "application/json")]
    scripted.otherwise = Reply([body], headers=headers, length=len(body))
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return scripted


def run(backend, scripted, tmp_path, script, *arguments):
    path = tmp_path / "script.py"
    path.write_text(COMMON + script)
    return run_script(backend.base_url, path, scripted.base_url, *arguments)


def test_same_settings(scripted_for_all, tmp_path):
    """They share one reporter and its few threads, and all of it goes when they go."""
    with Backend() as backend:
        done = run(backend, scripted_for_all, tmp_path, SAME)
        assert (done.returncode, done.stderr) == (0, "")
        assert backend.labels == sorted([*range(0, 1000, 20)] * 3)
    assert int(done.stdout) < 100_000, "bytes for a thousand clients"


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_different_settings(spooled, scripted_for_all, tmp_path):
    """Each has a reporter of its own, which goes with it once its thread has nothing to do."""
    spool = str(tmp_path / "reports.spool") if spooled else ""
    with Backend() as backend:
        done = run(backend, scripted_for_all, tmp_path, DIFFERENT, spool)
        assert (done.returncode, done.stderr) == (0, "")
        assert backend.labels == sorted([*range(0, 1000, 25), *range(500, 1000, 25)])
