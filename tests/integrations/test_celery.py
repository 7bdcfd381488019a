"""Celery's prefork pool, whose children end by os._exit."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from support.backend import HANG_GUARD, OK

TASKS = """
import sys
from celery import Celery

app = Celery("tasks", broker="sqla+sqlite:///broker.db")
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)

@app.task(name="ask")
def ask(number):
    from openpipe_report import OpenAI

    OpenAI().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}]
    )

if __name__ == "__main__":
    for number in range(10):
        ask.delay(number)
"""


@pytest.mark.parametrize(
    "options", [["--max-tasks-per-child=1"], []], ids=["a child a task", "warm shutdown"]
)
def test_each_task_is_reported(desk, tmp_path, monkeypatch, options):
    """Ten tasks, ten reports, to a server that takes its time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("C_FORCE_ROOT", "1")
    desk.backend.answer = lambda post: time.sleep(0.2) or OK
    (tmp_path / "tasks.py").write_text(TASKS)
    subprocess.run([sys.executable, "tasks.py"], check=True, timeout=HANG_GUARD)
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "1", "-l", "ERROR"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as worker:
        deadline = time.monotonic() + HANG_GUARD
        while len(desk.openai.requests) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        worker.terminate()  # a warm shutdown: the last task ends first
        _, errors = worker.communicate(timeout=HANG_GUARD)
    asked = [post.report["reqPayload"]["messages"][0]["content"] for post in desk.backend.posts]
    assert sorted(asked, key=int) == [str(number) for number in range(10)], errors
