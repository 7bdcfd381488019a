"""When an attempt may be made again."""

import random

import pytest

from openpipe_report._delivery.retry import LONGEST_BACKOFF, Backoff, Outage


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
    """An outage that has just begun."""
    outage = Outage(senders, Backoff(600))
    for _ in range(senders + 1):
        outage.look(now)
        outage.unanswered(now, "refused", is_first=True)
    return outage


def test_few_failures_are_no_outage():
    """As many failures in a row as there can be attempts in flight hold nobody up."""
    outage = Outage(2, Backoff(600))
    for _ in range(100):
        for _ in range(2):
            outage.look(100.0)
            outage.unanswered(100.0, "refused", is_first=True)
        assert outage.next_look == 0.0
        assert not outage.end()


def test_the_same_reports_again_are_no_outage():
    """Reports that never get an answer hold up nobody, however often they are tried."""
    outage = Outage(2, Backoff(600))
    for attempt in range(1, 100):
        for _ in range(2):
            outage.look(100.0)
            outage.unanswered(100.0, "reset", is_first=attempt == 1)
        assert not outage.is_on
        assert outage.next_look == 0.0


def test_an_answer_meanwhile(monkeypatch):
    """Where an answer comes while a failure is noted, nothing is held."""
    outage = out_of_reach()

    def answered(*_):
        outage.end()
        return 5.0

    monkeypatch.setattr(Backoff, "wait", answered)
    outage.unanswered(100.0, "refused", is_first=True)
    assert outage.next_look == 0.0


def test_one_at_a_time_looks():
    """Once an attempt is under way no other is made, until it has had its time."""
    outage = out_of_reach()
    assert 100.0 <= outage.next_look <= 100.5
    outage.look(101.0)
    assert outage.next_look == 101.0 + LONGEST_BACKOFF


def test_looks_grow_rare():
    """In an outage there is a look every few seconds, and never less."""
    outage = out_of_reach()
    pauses = []
    for look in range(200):
        outage.look(now := 1000.0 * look)
        outage.unanswered(now, f"refused {look}", is_first=look % 2 == 0)
        pauses.append(outage.next_look - now)
    assert max(pauses) <= LONGEST_BACKOFF
    assert 1.5 < sum(pauses[5:]) / len(pauses[5:]) < 3.5
    assert outage.reason == "refused 199"


def test_an_answer_ends_it():
    """After an answer everything may be tried, and whoever noted it is told, once."""
    outage = out_of_reach()
    assert outage.end()
    assert outage.next_look == 0.0
    assert not outage.end()
    outage.look(200.0)
    outage.unanswered(200.0, "refused", is_first=True)
    assert outage.next_look == 0.0
