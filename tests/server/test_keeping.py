"""Old reports are erased in the background."""

from __future__ import annotations

import logging
import time

import pytest

from openpipe_report.server.keeping import Keeper
from openpipe_report.server.store import Store, StoreUnavailableError

DAY = 86_400.0


@pytest.fixture
def store(tmp_path):
    """A store with reports of the last six days, the oldest first."""
    with Store(tmp_path / "reports.db") as opened:
        for days in range(5, -1, -1):
            at = (time.time() - days * DAY) * 1_000
            opened.add({"requestedAt": at, "reqPayload": {"prompt": f"zqsecret{days}"}}).result()
        opened.start()
        while opened.queries.unindexed():
            pass
        yield opened


def wait_until(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_keeps_what_is_young_enough(store):
    """What is older is erased, soon after the start and again later."""
    with Keeper(store, 3.5 * DAY, erased_every=0.01):
        wait_until(lambda: store.count() == 4)
        store.add({"requestedAt": (time.time() - 9 * DAY) * 1_000}).result()
        store.add({"requestedAt": time.time() * 1_000}).result()
        wait_until(lambda: store.count() == 5)
    assert [row.id for row in store.recent()] == [3, 4, 5, 6, 8]


def test_wipes(store, tmp_path):
    """What was erased is overwritten too."""

    def is_left(text):
        return any(text in one.read_bytes() for one in tmp_path.iterdir())

    assert is_left(b"zqsecret5")
    with Keeper(store, 3.5 * DAY, erased_every=0.01):
        wait_until(lambda: not is_left(b"zqsecret5"))
    assert is_left(b"zqsecret2")


def test_ends_at_once(store):
    """It does not wait for the next look when the receiver stops."""
    began = time.monotonic()
    with Keeper(store, DAY, erased_every=3_600):
        pass
    assert time.monotonic() - began < 30


def test_failure(store, monkeypatch, caplog):
    """A failure is logged, and it goes on later."""
    erase, failures = store.erase, iter([StoreUnavailableError("the disk is full")])

    def erase_later(*arguments, **options):
        for failure in failures:
            raise failure
        return erase(*arguments, **options)

    monkeypatch.setattr(store, "erase", erase_later)
    with caplog.at_level(logging.ERROR), Keeper(store, 3.5 * DAY, erased_every=0.01):
        wait_until(lambda: store.count() == 4)
    assert "old reports could not be erased for now: the disk is full" in caplog.text
