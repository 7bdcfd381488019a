"""When an attempt may be made again."""

import random

import pytest

from openpipe_report._delivery.retry import LONGEST_BACKOFF, Backoff, CircuitBreaker


def test_backoff_is_full_jitter():
    """The n-th wait is evenly spread between 0 and 0.5 s doubled n-1 times, at the most 5 s."""
    backoff = Backoff(600)
    for attempts, top in enumerate([0.5, 1, 2, 4, 5, 5], start=1):
        random.seed(1)
        share = random.random()
        random.seed(1)
        assert backoff.next_wait(attempts, 0, 0) == pytest.approx(share * top)
    assert 0 <= backoff.next_wait(10_000, 0, 0) <= 5


def test_backoff_honours_the_server():
    """A wait is at least what the server asked for."""
    assert Backoff(600).next_wait(1, 0, 30) == 30


@pytest.mark.parametrize(
    "retry_for, since_first, at_least",
    [(600, 599, 2), (600, 600, 0), (0, 0, 0), (600, 0, float("inf"))],
    ids=["would-be-over", "over", "no-retries", "endless"],
)
def test_backoff_gives_up(retry_for, since_first, at_least):
    """No wait goes beyond retry_for."""
    assert Backoff(retry_for).next_wait(1, since_first, at_least) is None


def out_of_reach(senders=2, now=100.0):
    """An breaker that has just begun."""
    breaker = CircuitBreaker(senders, Backoff(600))
    for _ in range(senders + 1):
        breaker.begin_probe(now)
        breaker.record_failure(now, "refused", is_first=True)
    return breaker


def test_few_failures_are_no_outage():
    """As many failures in a row as there can be attempts in flight hold nobody up."""
    breaker = CircuitBreaker(2, Backoff(600))
    for _ in range(100):
        for _ in range(2):
            breaker.begin_probe(100.0)
            breaker.record_failure(100.0, "refused", is_first=True)
        assert breaker.next_probe == 0.0
        assert not breaker.record_success()


def test_the_same_reports_again_are_no_outage():
    """Reports that never get an answer hold up nobody, however often they are tried."""
    breaker = CircuitBreaker(2, Backoff(600))
    for attempt in range(1, 100):
        for _ in range(2):
            breaker.begin_probe(100.0)
            breaker.record_failure(100.0, "reset", is_first=attempt == 1)
        assert not breaker.is_open
        assert breaker.next_probe == 0.0


def test_an_answer_meanwhile(monkeypatch):
    """Where an answer comes while a failure is noted, nothing is held."""
    breaker = out_of_reach()

    def answered(*_):
        breaker.record_success()
        return 5.0

    monkeypatch.setattr(Backoff, "wait", answered)
    breaker.record_failure(100.0, "refused", is_first=True)
    assert breaker.next_probe == 0.0


def test_one_at_a_time_looks():
    """Once an attempt is under way no other is made, until it has had its time."""
    breaker = out_of_reach()
    assert 100.0 <= breaker.next_probe <= 100.5
    breaker.begin_probe(101.0)
    assert breaker.next_probe == 101.0 + LONGEST_BACKOFF


def test_looks_grow_rare():
    """In an breaker there is a look every few seconds, and never less."""
    breaker = out_of_reach()
    pauses = []
    for look in range(200):
        breaker.begin_probe(now := 1000.0 * look)
        breaker.record_failure(now, f"refused {look}", is_first=look % 2 == 0)
        pauses.append(breaker.next_probe - now)
    assert max(pauses) <= LONGEST_BACKOFF
    assert 1.5 < sum(pauses[5:]) / len(pauses[5:]) < 3.5
    assert breaker.reason == "refused 199"


def test_an_answer_ends_it():
    """After an answer everything may be tried, and whoever noted it is told, once."""
    breaker = out_of_reach()
    assert breaker.record_success()
    assert breaker.next_probe == 0.0
    assert not breaker.record_success()
    breaker.begin_probe(200.0)
    breaker.record_failure(200.0, "refused", is_first=True)
    assert breaker.next_probe == 0.0
