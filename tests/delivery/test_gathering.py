"""Reports that come one soon after the other are gathered, and nobody waits for that."""

from __future__ import annotations

import pytest
from support.backend import Backend, Made, run_script
from support.gathering import FOR_EVER, submit_until_gathered, until
from support.timing import timed_reporter


@pytest.fixture
def reporter():
    with Backend() as backend:
        reporter = timed_reporter(FOR_EVER, base_url=backend.base_url)
        yield reporter
        reporter.shutdown()


def test_lone_report(reporter):
    """A report that comes after a pause is sent at once."""
    reporter.submit(Made())
    until(lambda: reporter.stats().delivered == 1)


def test_flush(reporter):
    """Reports that are waited with are sent when somebody waits for them."""
    count = submit_until_gathered(reporter)
    assert reporter.stats().delivered == count - 1
    assert reporter.flush()
    assert reporter.stats().delivered == count


async def test_aflush(reporter):
    """The same for a coroutine that waits."""
    count = submit_until_gathered(reporter)
    assert await reporter.aflush()
    assert reporter.stats().delivered == count


def test_many(reporter):
    """Many reports are not waited with."""
    count = submit_until_gathered(reporter)
    for number in range(100):
        reporter.submit(Made(number))
    until(lambda: reporter.stats().delivered == count + 100)


def test_exit():
    """At the end of the process nothing is waited with."""
    script = """
from support.timing import timed_reporter
from support.gathering import FOR_EVER, submit_until_gathered
reporter = timed_reporter(FOR_EVER, base_url=sys.argv[1])
print(submit_until_gathered(reporter))
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
    assert done.stderr == ""
    assert len(backend.posts) == int(done.stdout)
