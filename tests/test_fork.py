"""Children deliver theirs and the parent its own, none twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.backend import HANG_GUARD, OK, Backend, Made, run_script

import openpipe_report
from openpipe_report import Reporter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

QUIET = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"  # fork, threads


def test_os_fork_with_a_backlog():
    """A child that is forked while the parent's threads send has an empty queue of its own."""
    script = """
for number in range(200):
    reporter.submit(Made(number))
child = os.fork()
if child == 0:
    assert reporter.stats().pending == 0
    reporter.submit(Made(1000))
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
"""
    with Backend() as backend:
        done = run_script(backend.base_url, QUIET + script)
        assert backend.labels == [*range(200), 1000]
    assert (done.returncode, done.stderr) == (0, "")


def test_fork_in_the_midst_of_the_first_report():
    """A fork while a thread is importing what it sends with leaves the child able to send."""
    script = """
reporter.submit(Made(0))
children = []
for number in range(1, 9):
    child = os.fork()
    if child == 0:
        reporter.submit(Made(number))
        assert reporter.flush(20), reporter.flush(0)
        sys.exit()
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    with Backend() as backend:
        done = run_script(backend.base_url, QUIET + script)
        assert backend.labels == list(range(9))
    assert (done.returncode, done.stderr) == (0, "")


STORM = """
if sys.argv[2]:
    reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2])
over, counts, senders = threading.Event(), [], set()

def keep_reporting():
    count = 0
    while not over.is_set():
        reporter.submit(Made("parent"))
        count += 1
        senders.add(reporter.stats().threads)
        if reporter.stats().pending > 20:
            reporter.flush()
    counts.append(count)

threads = [threading.Thread(target=keep_reporting) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(30):
    child = os.fork()
    if child == 0:
        reporter.submit(Made(number))
        if number % 5 == 0:
            sys.exit()
        assert reporter.shutdown(60)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
over.set()
for thread in threads:
    thread.join()
assert reporter.flush(60)
print(sum(counts), max(senders))
"""


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_forks_of_a_busy_parent(spooled, tmp_path):
    """However often a process forks while its threads report and send, each child can, too."""
    with Backend() as backend:
        # Answers that take a while keep several threads of the parent sending.
        backend.answer = lambda post: threading.Event().wait(0.002) or OK
        path = str(tmp_path / "spool") if spooled else ""
        done = run_script(backend.base_url, QUIET + STORM, path)
        assert (done.returncode, done.stderr) == (0, "")
        count, senders = map(int, done.stdout.split())
        assert senders > 1
        label_of = {post.key: post.label for post in backend.posts}
        found = Counter(label_of.values())
        assert found == {"parent": count, **dict.fromkeys(range(30), 1)}
        assert len(backend.posts) == len(label_of)


def test_grandchild():
    """A child of a child delivers, too."""
    script = """
def fork(depth):
    reporter.submit(Made(depth))
    if depth < 3:
        child = os.fork()
        if child == 0:
            fork(depth + 1)
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0

fork(0)
"""
    with Backend() as backend:
        done = run_script(backend.base_url, QUIET + script)
        assert backend.labels == [0, 1, 2, 3]
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_reporter_stays_closed():
    """A reporter that was shut down is so in a child, too."""
    script = """
reporter.submit(Made(0))
reporter.shutdown()
child = os.fork()
if child == 0:
    reporter.submit(Made(1))
    sys.exit(reporter.stats().dropped != {"shutdown": 1})
assert os.waitpid(child, 0)[1] == 0
"""
    with Backend() as backend:
        run = run_script(backend.base_url, QUIET + script)
        assert backend.labels == [0]
    assert run.returncode == 0


MULTIPROCESSING = """
import concurrent.futures, multiprocessing, sys
from support.backend import Made
from openpipe_report import Reporter

reporter = Reporter(base_url=sys.argv[1])

def report(number):
    reporter.submit(Made(number))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    report(0)
    children = [context.Process(target=report, args=[number]) for number in (1, 2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(report, range(3, 10)))
    pool = context.Pool(2)
    pool.map(report, range(10, 20))
    pool.close()
    pool.join()
    report(20)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method, tmp_path):
    """Children of multiprocessing run no atexit callback (before 3.13) and deliver all the same."""
    path = tmp_path / "script.py"
    path.write_text(QUIET + MULTIPROCESSING)
    with Backend() as backend:
        done = run_script(backend.base_url, path, method)
        assert backend.labels == list(range(21))
        assert len({post.key for post in backend.posts}) == 21
    assert (done.returncode, done.stderr) == (0, "")


POOL = """
import multiprocessing, sys, threading
from support.backend import Made
from openpipe_report import Reporter

reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[3], exit_timeout=0.5)

def report(number):
    reporter.submit(Made(number))
    assert reporter.channel.spool.sync(60)

if __name__ == "__main__":
    report(0)
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        pool.map(report, range(1, 41), chunksize=5)
    if sys.argv[4] == "parent":
        report("left")
        while reporter.stats().delivered < 42:
            threading.Event().wait(0.001)
"""


@pytest.mark.parametrize("heir", ["parent", "next"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_terminated_pool(method, heir, tmp_path):
    """What the terminated workers of a Pool leave in a spool, the next to look there delivers."""
    script, spool = tmp_path / "script.py", str(tmp_path / "spool")
    script.write_text(QUIET + POOL)
    left = threading.Event()

    def answer(post):
        if post.label == "left":
            left.set()
        assert left.wait(HANG_GUARD)
        return OK

    with Backend() as backend:
        backend.answer = answer
        done = run_script(backend.base_url, script, method, spool, heir)
        assert done.returncode == 0
        said = [line for line in done.stderr.splitlines() if "are left in the spool" in line]
        assert done.stderr.splitlines() == said
        assert len(said) <= (heir == "next")
        if heir == "next":
            assert {post.label for post in backend.posts} <= set(range(41))
            left.set()
            reporter = Reporter(base_url=backend.base_url, spool=spool)
            reporter.submit(Made("left"))
            while reporter.stats().delivered < 42:
                threading.Event().wait(0.001)
            assert reporter.shutdown()
        label_of = {post.key: post.label for post in backend.posts}
        assert Counter(label_of.values()) == Counter([*range(41), "left"])


def test_given_client():
    """A child does not touch the connections of a client that the parent was given."""
    script = """
import httpx
reporter = Reporter(base_url=sys.argv[1], http_client=httpx.Client(headers={"X-Of": "parent"}))
for number in range(20):
    reporter.submit(Made(number))
assert reporter.flush()
child = os.fork()
for number in range(100):
    reporter.submit(Made(number + 100 if child else number + 200))
assert reporter.flush(), reporter.flush()
if child:
    assert os.waitpid(child, 0)[1] == 0
    sys.stderr.close()
"""
    with Backend() as backend:
        done = run_script(backend.base_url, QUIET + script)
        of_parent = [post.label for post in backend.posts if post.headers.get("x-of")]
        assert backend.labels == [*range(20), *range(100, 300)]
    assert sorted(of_parent) == [*range(20), *range(100, 200)]
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert "cannot share the connections of http_client=" in line


def test_parent_keeps_its_connection():
    """A child's end does not disturb the connection that the parent goes on to use."""
    script = """
reporter = Reporter(base_url=sys.argv[1], senders=1)  # a thread has a connection of its own
reporter.submit(Made(0))
assert reporter.flush()
child = os.fork()
if child == 0:
    reporter.submit(Made(1))
    sys.exit()
os.waitpid(child, 0)
reporter.submit(Made(2))
"""
    with Backend() as backend:
        backend.answer = lambda post: OK
        done = run_script(backend.base_url, QUIET + script)
        assert backend.labels == [0, 1, 2]
        assert backend.connections == 2
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_holds_nothing_of_the_backlog():
    """What the parent has pending takes no memory in a child."""
    script = """
import gc, weakref

class Large(Made):
    pass

reporter = Reporter(base_url=sys.argv[1], senders=4)
held = []
for number in range(200):
    source = Large(number)
    held.append(weakref.ref(source))
    reporter.submit(source)
del source
assert sum(each() is not None for each in held) > 4
child = os.fork()
if child == 0:
    gc.collect()
    left = sum(each() is not None for each in held)
    os._exit(left)
# What the parent's threads were at stays in the frames that they left behind.
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) <= 4
assert reporter.flush(60)
"""
    with Backend() as backend:
        backend.answer = lambda post: threading.Event().wait(0.05) or OK
        done = run_script(backend.base_url, QUIET + script)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


HARD_EXIT = """
import signal
ending = sys.argv[2]
child = os.fork()
if child == 0:
    reporter.submit(Made("child"))
    if ending == "from-a-thread":
        threading.Thread(target=os._exit, args=(7,)).start()
        threading.Event().wait()
    if ending == "in-a-handler":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), os._exit.__name__)
"""


@pytest.mark.parametrize("ending", ["at-once", "from-a-thread", "in-a-handler"])
def test_child_that_ends_by_os_exit(ending):
    """A forked child that ends by `os._exit` delivers first; its status stays."""
    with Backend() as backend:
        backend.answer = lambda post: threading.Event().wait(0.2) or OK
        done = run_script(backend.base_url, QUIET + HARD_EXIT, ending)
        assert backend.labels == ["child"]
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "7 _exit\n")


def test_os_exit_without_a_server():
    """The exit budget bounds it, and without one it exits at once."""
    script = """
import time
for budget in (0.0, 0.3):
    reporter = Reporter(base_url="http://127.0.0.1:9", exit_timeout=budget)
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        logging.disable()
        reporter.submit(Made("child"))
        os._exit(0)
    os.waitpid(child, 0)
    print(time.monotonic() - begin)
    reporter.shutdown(0)
"""
    with Backend() as backend:
        done = run_script(backend.base_url, "import logging\n" + QUIET + script)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(float(line) < 5 for line in done.stdout.split())


LATE_IMPORT = """
import logging, os, sys, time
time.sleep(0.2)  # the kernel counts in hundredths of a second
child = os.fork() if sys.argv[2] == "forked" else 0
if child == 0:
    from openpipe_report import Reporter
    reporter = Reporter(base_url=sys.argv[1])
    reporter.report(reqPayload={"label": "late"})
    print(os._exit.__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="told by /proc")
@pytest.mark.parametrize("kind", ["forked", "started"])
def test_child_that_imports_us_after_the_fork(kind):
    """A child that was forked before it imports us is one, too; a process of its own is not."""
    with Backend() as backend:
        done = subprocess.run(
            [sys.executable, "-c", LATE_IMPORT, backend.base_url, kind],
            env={**os.environ, "PYTHONPATH": str(Path(openpipe_report.__file__).parents[1])},
            capture_output=True,
            text=True,
            timeout=HANG_GUARD,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        is_replaced = done.stdout == "_exit_after_delivery\n"
        assert is_replaced == (kind == "forked")
        if kind == "forked":
            assert len(backend.posts) == 1
