"""How the sending threads share the interpreter."""

import threading

import pytest
from support.backend import HANG_GUARD

from openpipe_report._delivery import concurrency as concurrency_module
from openpipe_report._delivery.concurrency import ConcurrencyLimiter, Slot


@pytest.mark.parametrize(
    "wall, cpu, wanted",
    [
        (0.0005, 0.0004, 1),
        (0.002, 0.0004, 4),
        (0.05, 0.0005, 8),
        (10.0, 0.0005, 8),
        (0.0005, 0.0, 8),
        (0.0, 0.0, 8),
    ],
    ids=["answers at once", "2 ms", "50 ms", "timeout", "a coarse clock", "no clock"],
)
def test_threads_that_the_network_keeps_waiting(wall, cpu, wanted):
    """There are as many threads as keep less than one core busy, from one to the limit."""
    concurrency = ConcurrencyLimiter(8)
    assert concurrency.wanted == 8
    for _ in range(50):
        concurrency.record(wall, cpu)
    assert concurrency.wanted == wanted


def test_threads_that_only_compute_become_fewer():
    """Where threads wait for the interpreter alone, in the end there is one."""
    concurrency = ConcurrencyLimiter(8)
    concurrency.record(10.0, 0.001)
    assert concurrency.wanted == 8
    for _ in range(500):
        concurrency.record(0.001 * concurrency.wanted, 0.001)
    assert concurrency.wanted == 1


def test_one_slow_attempt_is_not_forgotten_at_once():
    """After a timeout there are threads enough for the next one."""
    concurrency = ConcurrencyLimiter(8)
    concurrency.record(0.0005, 0.0004)
    concurrency.record(10.0, 0.0004)
    for _ in range(20):
        concurrency.record(0.0005, 0.0004)
        assert concurrency.wanted == 8


def test_a_turn_ends_once():
    """A turn that was passed on is not another's to lose."""
    lock = threading.Lock()
    with Slot(lock) as slot:
        assert lock.locked()
        slot.release()
        assert not lock.locked()
        with Slot(lock):
            slot.release()
            assert lock.locked()
    assert not lock.locked()


def test_nobody_waits_long_for_a_turn(monkeypatch):
    """Whatever holds up one thread holds up the others for a moment only."""
    monkeypatch.setattr(concurrency_module, "SLOT_TIMEOUT", 0.001)
    lock = threading.Lock()
    went_on = threading.Event()

    def other():
        with Slot(lock):
            went_on.set()

    with Slot(lock):
        thread = threading.Thread(target=other)
        thread.start()
        assert went_on.wait(HANG_GUARD)
        thread.join()
        assert lock.locked()


def test_a_thread_alone_takes_no_turns(monkeypatch):
    """Where one thread does it all, nobody waits for its turn."""
    monkeypatch.setattr(concurrency_module, "SLOT_TIMEOUT", HANG_GUARD)
    concurrency = ConcurrencyLimiter(8)
    concurrency.record(0.0005, 0.0004)
    with concurrency.slot(), concurrency.slot():
        pass
