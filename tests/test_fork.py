"""Children deliver theirs and the parent its own, none twice."""

from __future__ import annotations

import os

import pytest
from backend import OK, Backend, run_script

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
from backend import Made
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
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        list(pool.map(report, [3, 4]))
    report(5)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method, tmp_path):
    """Children of multiprocessing run no atexit callback (before 3.13) and deliver all the same."""
    path = tmp_path / "script.py"
    path.write_text(QUIET + MULTIPROCESSING)
    with Backend() as backend:
        done = run_script(backend.base_url, path, method)
        assert backend.labels == [0, 1, 2, 3, 4, 5]
        assert len({post.key for post in backend.posts}) == 6
    assert (done.returncode, done.stderr) == (0, "")


def test_parent_keeps_its_connection():
    """A child's end does not disturb the connection that the parent goes on to use."""
    script = """
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
