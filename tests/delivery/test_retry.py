"""When an attempt may be made again."""

import logging
import random

import pytest

from openpipe_report import Settings
from openpipe_report._delivery.outage_log import OutageLog
from openpipe_report._delivery.retry import (
    DEFAULT_RETRY_TIMING,
    FEWEST_FAILURES,
    LONGEST_BACKOFF,
    Backoff,
    CircuitBreaker,
    RetryTiming,
)


def test_backoff_is_full_jitter():
    """The n-th wait is evenly spread between 0 and 0.5 s doubled n-1 times, at the most 5 s."""
    backoff = Backoff(600, DEFAULT_RETRY_TIMING)
    for attempts, top in enumerate([0.5, 1, 2, 4, 5, 5], start=1):
        random.seed(1)
        share = random.random()
        random.seed(1)
        assert backoff.next_wait(attempts, 0, 0) == pytest.approx(share * top)
    assert 0 <= backoff.next_wait(10_000, 0, 0) <= 5


def test_backoff_honours_the_server():
    """A wait is at least what the server asked for."""
    assert Backoff(600, DEFAULT_RETRY_TIMING).next_wait(1, 0, 30) == 30


@pytest.mark.parametrize(
    "retry_for, since_first, at_least",
    [(600, 599, 2), (600, 600, 0), (0, 0, 0), (600, 0, float("inf"))],
    ids=["would-be-over", "over", "no-retries", "endless"],
)
def test_backoff_gives_up(retry_for, since_first, at_least):
    """No wait goes beyond retry_for."""
    assert Backoff(retry_for, DEFAULT_RETRY_TIMING).next_wait(1, since_first, at_least) is None


LIMIT = FEWEST_FAILURES


def open_breaker(timing=DEFAULT_RETRY_TIMING, now=100.0):
    """A breaker that has just opened."""
    breaker = CircuitBreaker(2, timing)
    for number in range(LIMIT + 1):
        breaker.begin_probe(now)
        breaker.record_failure(str(number), now, "refused")
    assert breaker.is_open
    return breaker


def test_few_failures_do_not_open_it():
    """As many reports as can be in flight may fail in a row."""
    for senders in (2, 40):
        breaker = CircuitBreaker(senders, DEFAULT_RETRY_TIMING)
        for _ in range(100):
            for number in range(max(senders, LIMIT)):
                breaker.begin_probe(100.0)
                breaker.record_failure(str(number), 100.0, "refused")
            assert breaker.next_probe == 0.0
            assert not breaker.record_success()


def test_the_same_reports_do_not_open_it():
    """Reports that always fail hold up no other, however often they are tried."""
    breaker = CircuitBreaker(2, DEFAULT_RETRY_TIMING)
    for _ in range(100):
        for number in range(LIMIT):
            breaker.begin_probe(100.0)
            breaker.record_failure(str(number), 100.0, "HTTP 500")
        assert not breaker.is_open
        assert breaker.next_probe == 0.0


def test_a_success_meanwhile():
    """Where a success comes while a failure is recorded, the breaker stays closed."""

    def succeed(state):
        if state.attempt_number > 1:
            breaker.record_success()
        return 5.0

    breaker = open_breaker(RetryTiming(probe_wait=succeed))
    breaker.record_failure("x", 100.0, "refused")
    assert breaker.next_probe == 0.0


def test_one_probe_at_a_time():
    """Once a probe is under way no other is made, until it has had its time."""
    breaker = open_breaker()
    assert 100.5 <= breaker.next_probe <= 101.0
    breaker.begin_probe(101.0)
    assert breaker.next_probe == 101.0 + LONGEST_BACKOFF


def test_probes_grow_rare():
    """While it is open there is a probe every few seconds: never more than two a second."""
    breaker = open_breaker()
    pauses = []
    for probe in range(200):
        breaker.begin_probe(now := 1000.0 * probe)
        breaker.record_failure(str(probe), now, f"refused {probe}")
        pauses.append(breaker.next_probe - now)
    assert min(pauses) >= 0.5
    assert max(pauses) <= LONGEST_BACKOFF
    assert 1.5 < sum(pauses[5:]) / len(pauses[5:]) < 3.5
    assert breaker.reason == "refused 199"


def test_a_success_closes_it():
    """After a success everything may be tried; only the first one says that it was open."""
    breaker = open_breaker()
    assert breaker.record_success()
    assert breaker.next_probe == 0.0
    assert not breaker.record_success()
    breaker.begin_probe(200.0)
    breaker.record_failure("x", 200.0, "refused")
    assert breaker.next_probe == 0.0


def test_an_outage_is_said_once(caplog):
    """After ten seconds of failures one WARNING, and one INFO when it is over; each time anew."""
    log = OutageLog(Settings(base_url="http://h:1"))
    caplog.set_level(logging.INFO, "openpipe_report")
    for begin in (0.0, 1000.0):
        log.record_failure(begin, "refused", 1)
        log.record_failure(begin + 9.9, "refused", 2)
        assert not caplog.records
        log.record_failure(begin + 10.0, "refused", 3)
        log.record_failure(begin + 20.0, "refused", 4)
        log.record_success()
        log.record_success()
        lines = [(record.levelno, record.getMessage()) for record in caplog.records]
        assert [level for level, _ in lines] == [logging.WARNING, logging.INFO]
        assert "h:1 has taken no report for 10 s (refused). 3 are pending" in lines[0][1]
        assert "h:1 takes reports again" in lines[1][1]
        caplog.clear()
    log.record_failure(5000.0, "refused", 1)
    log.record_success()
    assert not caplog.records
