"""openpipe_report.stats(): the counts of every reporter of the process, in one sum."""

from __future__ import annotations

import dataclasses
import gc
import os
import threading
from collections import Counter

import pytest
from support.backend import HANG_GUARD, Backend, Made, run_script
from support.mock_server import Server, make

import openpipe_report
from openpipe_report import Reporter, SettingsError, Stats
from openpipe_report._delivery.accounting import Accounting
from openpipe_report._delivery.budget import Budget
from openpipe_report._delivery.stats import PastStats, sum_stats


def since(before):
    """What was counted since, of all that is only added to."""
    now = openpipe_report.stats()
    return Stats(
        delivered=now.delivered - before.delivered,
        rejected=now.rejected - before.rejected,
        dropped=dict(Counter(now.dropped) - Counter(before.dropped)),
        spooled=now.spooled - before.spooled,
        sampled_out=now.sampled_out - before.sampled_out,
    )


def test_sum():
    """All reporters are counted, with every reason of a loss."""
    before = openpipe_report.stats()
    reporters = [
        make(Server()),
        make(Server(lambda request: 400)),
        make(Server(), before_report=lambda report: None),
        make(Server(), max_queue_bytes=1024),
    ]
    for reporter in reporters:
        reporter.submit(Made())
    reporters[3].submit(Made(size=2000))
    openpipe_report.flush()
    reporters[0].shutdown()
    reporters[0].submit(Made())
    lost = {"queue full": 1, "shutdown": 1}
    assert since(before) == Stats(delivered=2, rejected=1, dropped=lost, sampled_out=1)


def test_parts():
    """Every number is added up, but for the faults, which are the process's."""
    names = [
        each.name for each in dataclasses.fields(Stats) if each.name not in {"dropped", "faults"}
    ]
    part = Stats(**dict.fromkeys(names, 2), dropped={"exit": 1}, faults=7)
    total = sum_stats([part, part, Stats(dropped={"a": 1})])
    assert total == Stats(
        **dict.fromkeys(names, 4),
        dropped={"exit": 2, "a": 1},
        faults=openpipe_report.stats().faults,
    )
    assert sum_stats([]) == Stats(faults=total.faults)


def test_reporters_that_are_gone():
    """What a reporter has counted stays counted when it is shut down, and when nobody has it."""
    before = openpipe_report.stats()
    reporter = make(Server())
    reporter.submit(Made())
    assert reporter.flush()
    reporter.shutdown()
    assert since(before) == Stats(delivered=1)
    del reporter
    gc.collect()
    assert since(before) == Stats(delivered=1)


def test_reporter_that_never_was():
    """One whose settings are wrong counts nothing, and is no fault."""
    before = openpipe_report.stats()
    with pytest.raises(SettingsError):
        Reporter(base_url="x")
    gc.collect()
    assert openpipe_report.stats().faults == before.faults


def test_the_past_is_bounded():
    """The stats of reporters that are gone are added up, though nobody asks."""
    past = PastStats()
    for _ in range(1000):
        past.add(Stats(delivered=1, dropped={"exit": 1}))
    assert len(past._parts) <= 101
    assert past.total().delivered == 1000
    assert past.total().dropped == {"exit": 1000}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child():
    """A forked child begins with zeros, and counts its own."""
    script = """
import warnings; warnings.simplefilter("ignore", DeprecationWarning)
from openpipe_report import stats
gone = Reporter(base_url=sys.argv[1])
for each in (reporter, gone):
    each.submit(Made())
    assert each.flush()
    each = None
gone.shutdown()
gone = None
assert stats().delivered == 2, stats()
child = os.fork()
if child == 0:
    assert stats().delivered == 0, stats()
    reporter.submit(Made())
    assert reporter.flush()
    assert stats().delivered == 1, stats()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert stats().delivered == 2, stats()
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_report_that_ended_before_its_submission():
    """It does not stand in for another one that is pending, whichever thread has submitted it."""
    accounting = Accounting(Budget(10, 1000))
    ended, go_on = threading.Event(), threading.Event()

    def submit():
        epoch = accounting.try_admit(1)
        accounting.delivered(epoch, 1)  # on a sender thread, while this one is in submit()
        ended.set()
        go_on.wait(HANG_GUARD)
        accounting.flushes.note_queued(epoch)

    thread = threading.Thread(target=submit)
    thread.start()
    assert ended.wait(HANG_GUARD)
    accounting.flushes.note_queued(accounting.try_admit(1))
    assert accounting.flushes.wait(0.0).pending == 1
    go_on.set()
    thread.join(HANG_GUARD)
    assert accounting.flushes.wait(0.0).pending == 1
