"""The logs of refused requests and of failures."""

from __future__ import annotations

from openpipe_report.server.refusal_log import RefusalLog
from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.traffic import Traffic


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_one_line_a_minute(caplog):
    """The first refusal is logged at once, the following ones together after the interval."""
    traffic, clock = Traffic(), Clock()
    log = RefusalLog(traffic, interval=60, clock=clock)
    log.log_if_due()
    traffic.count_answer("/api/v1/report", "POST", 401)
    log.log_if_due()
    assert caplog.messages == ["refused requests: 1 (1 x 401 UNAUTHORIZED)"]
    for status in (401, 413, 413, 200):
        traffic.count_answer("/api/v1/report", "POST", status)
    traffic.count_answer("/reports", "GET", 404)
    clock.now += 59
    log.log_if_due()
    assert len(caplog.messages) == 1
    clock.now += 1
    log.log_if_due()
    log.log_if_due()
    assert caplog.messages[1:] == [
        "refused requests: 3 (1 x 401 UNAUTHORIZED, 2 x 413 PAYLOAD_TOO_LARGE)"
    ]


def test_rest_is_logged(caplog):
    """What was refused since the last line is logged at the end, if anything was."""
    traffic = Traffic()
    log = RefusalLog(traffic, interval=60, clock=Clock())
    log.log()
    traffic.count_refused_connection(408)
    log.log()
    log.log()
    assert caplog.messages == ["refused requests: 1 (1 x 408 TIMEOUT)"]


def test_failures_are_logged_seldom(caplog):
    """A failure of each kind is logged once in the interval; the next line counts the others."""
    clock = Clock()
    log = SeldomLog(interval=60, clock=clock)
    for reason in ("full", "full", "locked"):
        log.write("not stored", reason)
    log.write("not read", "gone")
    clock.now += 60
    log.write("not stored", "locked")
    assert caplog.messages == [
        "not stored: full",
        "not read: gone",
        "not stored: locked (and 2 times more since the last line)",
    ]
