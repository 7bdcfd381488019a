"""Reporters that wait for other times than the usual ones."""

from __future__ import annotations

import os
from dataclasses import replace

from tenacity import wait_fixed, wait_none

from openpipe_report import Reporter
from openpipe_report._delivery.channel import DEFAULT_TIMING, Timing
from openpipe_report._delivery.retry import RetryTiming
from openpipe_report._environment import load_settings

AT_ONCE = Timing(RetryTiming(wait=wait_none(), probe_wait=wait_none()))
"""Waits between attempts take no time."""
NEVER = Timing(RetryTiming(wait=wait_fixed(500), probe_wait=wait_fixed(500)))
"""Waits between attempts outlast the test."""


def idle_for(seconds):
    """Threads end after so many seconds without work."""
    return replace(DEFAULT_TIMING, idle=seconds)


def timed_reporter(timing, **settings):
    """A reporter with settings as `Reporter` takes them."""
    return Reporter.from_settings(load_settings(os.environ, settings), timing)
