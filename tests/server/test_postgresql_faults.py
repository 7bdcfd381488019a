"""Two receivers over one PostgreSQL database, while one of them and the server are killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter

from support.postgresql import free_port, running_server

from openpipe_report import Reporter
from openpipe_report.server.store import Store

REPORTS = 600
"""Reports to each receiver."""
TEXT = "The quick brown fox jumps over the lazy dog. " * 40
PATIENCE = 90.0
"""Seconds after which it is taken to hang; it takes about ten."""


class Receiver:
    """`openpipe-report serve` in a process of its own, on a port that it keeps."""

    def __init__(self, database):
        self._command = [sys.executable, "-m", "openpipe_report", "serve", "--db", database]
        self.port = free_port()
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert b"Listening" in self._process.stdout.readline()

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def reporter(self):
        return Reporter(base_url=f"http://127.0.0.1:{self.port}/api/v1", api_key="any")


def send(reporter, name):
    for number in range(REPORTS):
        reporter.report(
            requestedAt=1,
            reqPayload={"metadata": {"n": f"{name}-{number}"}, "messages": TEXT},
            statusCode=200,
        )


def wait_for(store, count, deadline):
    while store.queries.newest_id() < count:
        assert time.monotonic() < deadline, f"{store.queries.newest_id()} reports"
        time.sleep(0.01)


def test_kills_under_load():
    """A receiver and the server are killed under load: each report is stored, and once."""
    deadline = time.monotonic() + PATIENCE
    with running_server() as server:
        database = server.url(server.create_database())
        receivers = [Receiver(database), Receiver(database)]
        reporters = [receiver.reporter() for receiver in receivers]
        threads = [
            threading.Thread(target=send, args=(reporter, name))
            for name, reporter in enumerate(reporters)
        ]
        try:
            with Store(database, read_only=True) as store:
                for thread in threads:
                    thread.start()
                wait_for(store, 150, deadline)
                receivers[0].kill()
                wait_for(store, 350, deadline)
                receivers[0].start()
                wait_for(store, 550, deadline)
                server.stop()
                server.start()
                for thread in threads:
                    thread.join()
                for reporter in reporters:
                    assert reporter.flush(max(deadline - time.monotonic(), 1))
                found = Counter(row.metadata["n"] for row in store.queries.iterate())
                ids = [row.id for row in store.queries.iterate()]
        finally:
            for reporter in reporters:
                reporter.shutdown(0)
            for receiver in receivers:
                receiver.kill()
    assert found == Counter(f"{name}-{number}" for name in (0, 1) for number in range(REPORTS))
    assert ids == list(range(1, 2 * REPORTS + 1))
    assert [reporter.stats().dropped for reporter in reporters] == [{}, {}]
