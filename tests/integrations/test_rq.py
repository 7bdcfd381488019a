"""RQ, whose jobs run in forked work horses that end by os._exit."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from fakeredis import TcpFakeServer
from support.backend import HANG_GUARD

JOBS = """
import openpipe_report

def ask(number):
    client = openpipe_report.OpenAI()
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}]
    )
"""
JOBS_THAT_IMPORT_LATER = """
def ask(number):
    import openpipe_report

    client = openpipe_report.OpenAI()
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}]
    )
"""
WORKER = """
import sys
import jobs
from redis import Redis
from rq import Queue, Worker

redis = Redis(port=int(sys.argv[1]))
queue = Queue(connection=redis)
redis.client_info = lambda: {"addr": "127.0.0.1:0"}  # fakeredis 2.40 sends none of its fields
queued = [queue.enqueue(jobs.ask, number) for number in range(10)]
Worker([queue], connection=redis).work(burst=True, logging_level="ERROR")
print(sum(job.get_status(refresh=True).value == "finished" for job in queued))
"""


@pytest.fixture
def redis_port():
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("jobs", [JOBS, JOBS_THAT_IMPORT_LATER], ids=["before fork", "after fork"])
def test_each_job_is_reported(desk, redis_port, tmp_path, monkeypatch, jobs):
    """Ten jobs, ten reports, wherever our package is imported."""
    (tmp_path / "jobs.py").write_text(jobs)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(redis_port)],
        capture_output=True,
        text=True,
        timeout=HANG_GUARD,
        check=False,
    )
    assert done.stdout.split() == ["10"], done.stderr
    asked = [post.report["reqPayload"]["messages"][0]["content"] for post in desk.backend.posts]
    assert sorted(asked, key=int) == [str(number) for number in range(10)]
