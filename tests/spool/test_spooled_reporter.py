"""A reporter with a spool, against a real server."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.backend import (
    HANG_GUARD,
    OK,
    PRELUDE,
    Backend,
    Made,
    run_script,
    script_environment,
)

from openpipe_report import Reporter
from openpipe_report._spool.file import SpoolFile

CRASHING = """
reporter = Reporter(base_url=sys.argv[1], api_key="opk_secret", spool=sys.argv[2])
for number in range(200):
    reporter.submit(Made(number, respPayload="x" * 5000))
reporter.channel.spool.sync(60)
print(reporter.stats().pending, flush=True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "spool")


@pytest.fixture
def reporter_of(path):
    """Make reporters that are shut down at the end."""
    made = []

    def reporter_of(backend, **settings):
        made.append(
            Reporter(base_url=backend.base_url, api_key="opk_secret", spool=path, **settings)
        )
        return made[-1]

    yield reporter_of
    for reporter in made:
        reporter.shutdown(0)


def crash(backend, path, how, script=CRASHING):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, backend.base_url, path],
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(process.stdout.readline()) > 0
    if how == "os._exit":
        process.stdin.write("\n")
        process.stdin.flush()
    else:
        process.send_signal(getattr(signal, how))
    process.communicate(timeout=HANG_GUARD)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "os._exit"])
def test_crash(path, reporter_of, how):
    """The next process delivers the reports of a crashed one, each with its one key."""
    with Backend() as backend:
        backend.answer = lambda post: (500, b"", {})
        crash(backend, path, how)
        first = {post.key for post in backend.posts}
        backend.posts.clear()
        backend.answer = lambda post: OK
        reporter = reporter_of(backend)
        reporter.submit(Made(1000))
        while reporter.stats().delivered < 201:
            threading.Event().wait(0.01)
        # What the dead process had sent may be handled as late as now, under the same keys.
        by_key = {post.key: post.label for post in backend.posts}
        assert sorted(by_key.values()) == [*range(200), 1000]
        assert first <= set(by_key)
        assert reporter.flush()
        assert reporter.shutdown()


def test_nothing_is_left(path, reporter_of):
    """Delivered reports are removed from the spool."""
    with Backend() as backend:
        reporter = reporter_of(backend)
        for number in range(300):
            reporter.submit(Made(number))
        assert reporter.flush()
        assert reporter.shutdown()
        assert reporter.stats().delivered == 300
        assert reporter.stats().spooled == 0
        later = reporter_of(backend)
        later.submit(Made(300))
        assert later.flush()
        assert later.shutdown()
        assert backend.labels == list(range(301))


def test_exit_with_refused_backend(path, reporter_of):
    """Reports that cannot be delivered at exit stay in the spool, which one line says."""
    with Backend() as backend:
        url = backend.base_url
    script = """
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2], exit_timeout=0.5)
for number in range(50):
    reporter.submit(Made(number))
atexit.register(reporter.submit, Made(50))
"""
    done = run_script(url, script, path)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert "51 report(s)" in line
    assert f"are left in the spool {path}; the next process" in line
    script = """
reporter.shutdown()
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2], exit_timeout=0.5)
reporter.submit(Made(51))
reporter.flush(0)
while reporter.stats().pending < 52:
    threading.Event().wait(0.01)
reporter.shutdown(0)
while reporter.stats().pending or reporter.stats().threads:
    threading.Event().wait(0.01)
print(reporter.stats().spooled)
"""
    done = run_script(url, script, path)
    assert (done.returncode, done.stdout) == (0, "52\n")
    [line] = done.stderr.splitlines()
    assert "52 report(s)" in line


def test_an_outage_that_memory_cannot_hold(path, reporter_of):
    """Beyond half of the queue reports are in the file alone; `flush()` waits for them as well."""
    down = threading.Event()
    down.set()
    with Backend() as backend:
        backend.answer = lambda post: (500, b"", {}) if down.is_set() else OK
        reporter = reporter_of(backend, max_queue_reports=100, max_queue_bytes=100_000)
        for number in range(3000):
            while not reporter.submit(Made(number, respPayload="x" * 1000)):
                assert reporter.channel.spool.sync(HANG_GUARD)
        assert reporter.channel.spool.sync(HANG_GUARD)
        stats = reporter.stats()
        assert stats.pending == 3000
        assert stats.pending_bytes < 100_000
        assert not reporter.flush(0)
        down.clear()
        assert reporter.flush(HANG_GUARD).pending == 0
        assert reporter.stats().delivered == 3000
        by_key = {post.key: post.label for post in backend.posts}
        assert sorted(by_key.values()) == list(range(3000))
        assert (reporter.stats().pending, reporter.stats().pending_bytes) == (0, 0)


def test_a_spool_that_somebody_removes(path, reporter_of):
    """What only its file had is counted as lost, and told; later reports have another file."""
    heard: list[tuple[str, int]] = []
    with Backend() as backend:
        backend.answer = lambda post: (500, b"", {})
        reporter = reporter_of(
            backend, max_queue_reports=20, on_drop=lambda *drop: heard.append(drop)
        )
        for number in range(100):
            while not reporter.submit(Made(number)):
                assert reporter.channel.spool.sync(HANG_GUARD)
        assert reporter.channel.spool.sync(HANG_GUARD)
        aside = reporter.channel.budget.aside
        assert aside > 50
        shutil.rmtree(path)
        backend.answer = lambda post: OK
        while not reporter.submit(Made(100)):
            assert reporter.channel.spool.sync(HANG_GUARD)
        assert reporter.flush(HANG_GUARD).pending == 0
        lost = reporter.stats().dropped["the spool's file is gone"]
        assert aside - 20 <= lost <= aside
        assert ("the spool's file is gone", lost) in heard
        assert reporter.stats().delivered + lost == 101


def test_set_aside_at_a_shutdown(path, reporter_of):
    """What the file alone has is counted as left in the spool, and the next process delivers it."""
    with Backend() as backend:
        backend.answer = lambda post: (500, b"", {})
        reporter = reporter_of(backend, max_queue_reports=20)
        for number in range(200):
            while not reporter.submit(Made(number)):
                assert reporter.channel.spool.sync(HANG_GUARD)
        reporter.shutdown(0)
        while reporter.stats().threads:
            threading.Event().wait(0.01)
        stats = reporter.stats()
        assert (stats.spooled, stats.pending) == (200, 0)
        backend.answer = lambda post: OK
        later = reporter_of(backend)
        later.submit(Made(200))
        while later.stats().delivered < 201:
            threading.Event().wait(0.01)
        assert len({post.key for post in backend.posts}) == 201


def test_exit_with_more_than_memory_holds(path):
    """At exit what is set aside is delivered, too, where there is time for it."""
    script = """
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2], max_queue_reports=50, exit_timeout=60)
for number in range(500):
    while not reporter.submit(Made(number)):
        reporter.channel.spool.sync(60)
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script, path)
        assert done.returncode == 0, done.stderr
        assert backend.labels == list(range(500))
    assert list(Path(path).iterdir()) == []


def test_rejected_is_a_dead_letter(path, reporter_of):
    """A rejected report stays in the spool, and is not sent again."""
    with Backend() as backend:
        backend.answer = lambda post: (400, b"", {})
        reporter = reporter_of(backend)
        reporter.submit(Made(1))
        assert not reporter.flush()
        reporter.shutdown()
        assert reporter.stats().rejected == 1
        later = reporter_of(backend)
        later.submit(Made(2))
        later.flush()
        assert backend.labels == [1, 2]


def test_fork(path):
    """Parent and child each deliver their own reports."""
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2])
for number in range(100):
    reporter.submit(Made(number))
child = os.fork()
for number in range(100):
    reporter.submit(Made((100 if child else 200) + number))
assert reporter.shutdown()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script, path)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted({post.key: post.label for post in backend.posts}.values()) == list(range(300))


def test_shutdown_while_reports_are_being_sent(path, reporter_of):
    """What is being sent then is not sent again by another reporter that uses the folder."""
    gate, reached = threading.Event(), threading.Semaphore(0)

    def answer(post):
        reached.release()
        assert gate.wait(HANG_GUARD)
        return OK

    with Backend() as backend:
        backend.answer = answer
        first = reporter_of(backend)
        for number in range(5):
            first.submit(Made(number))
        for _ in range(5):
            assert reached.acquire(timeout=HANG_GUARD)
        assert not first.shutdown(0)
        later = reporter_of(backend)
        later.submit(Made(5))
        assert later.channel.spool.sync(HANG_GUARD)
        gate.set()
        assert later.flush(HANG_GUARD)
        while first.stats().pending:
            threading.Event().wait(0.01)
        assert first.stats().delivered == 5
        assert backend.labels == list(range(6))


def test_shutdown_of_one_of_several(path, reporter_of):
    """Each report is counted once, by its own reporter, and delivered over the channel."""
    with Backend() as backend:
        backend.answer = lambda post: (503, b"", {})
        one, other = (reporter_of(backend, max_queue_reports=20) for _ in range(2))
        assert one.channel is other.channel
        for number in range(60):
            while not one.submit(Made(number)):
                assert one.channel.spool.sync(HANG_GUARD)
        while not other.submit(Made(60)):
            assert other.channel.spool.sync(HANG_GUARD)
        while not one.channel.queue.waiting:
            threading.Event().wait(0.001)
        one.shutdown(0)
        backend.answer = lambda post: OK
        while one.stats().pending or other.stats().pending:
            threading.Event().wait(0.01)
        assert (one.stats().delivered, one.stats().spooled) == (60, 0)
        assert (other.stats().delivered, other.stats().spooled) == (1, 0)
        by_key = {post.key: post.label for post in backend.posts}
        assert sorted(by_key.values()) == list(range(61))


def test_left_behind_and_larger_than_memory(path, reporter_of):
    """A report of a dead process that no memory bound would take is read alone, others after it."""
    with Backend() as backend:
        large = SpoolFile.create(Path(path), backend.base_url, "opk_secret", 2**28)
        bodies = [b'{"reqPayload":{"label":0,"text":"%s"}}' % (b"x" * 20_000)]
        bodies += [b'{"reqPayload":{"label":%d}}' % number for number in range(1, 6)]
        large.add([(f"key-{number}", 0, body, "report") for number, body in enumerate(bodies)])
        large.close()
        reporter = reporter_of(backend, max_queue_bytes=10_000)
        reporter.submit(Made(6))
        while reporter.stats().delivered < 7:
            threading.Event().wait(0.01)
        assert backend.labels == list(range(7))
