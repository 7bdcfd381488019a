"""Reporters that gather reports for ever, unless somebody hurries them."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from support.backend import HANG_GUARD, Made

from openpipe_report._delivery.channel import DEFAULT_TIMING

FOR_EVER = replace(DEFAULT_TIMING, gather=10_000.0)


def until(condition):
    for _ in range(HANG_GUARD * 1_000):
        if condition():
            return
        threading.Event().wait(0.001)
    pytest.fail("it did not happen")


def submit_until_gathered(reporter):
    """Submit reports until one is waited with; return how many."""
    count = 0

    def is_over():
        return reporter.stats().delivered == count or is_gathering()

    is_gathering = reporter.channel.threads._gathering.locked
    while not is_gathering():
        count += 1
        reporter.submit(Made(count))
        until(is_over)
    return count
