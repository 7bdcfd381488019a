"""The log of refused requests, and the line of `serve` on a terminal."""

from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from openpipe_report.cli.live_line import LiveLine
from openpipe_report.server.refusal_log import RefusalLog
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


def terminal(width):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(console):
    """Return the lines that were shown, one for each update."""
    return re.findall(r"[^\x1b\r\n]*\d/s", console.file.getvalue())


@pytest.mark.parametrize(
    "width, line",
    [
        (80, "received 1234567  refused 89  250/s"),
        (40, "received 1234567  refused 89  250/s"),
        (32, "1234567 in, 89 refused, 250/s"),
    ],
)
def test_live_line(width, line):
    """On a terminal one line shows the reports, the refusals and the rate since the last update."""
    console, traffic, clock = terminal(width), Traffic(), Clock()
    traffic.received = 1_234_067
    with LiveLine(console, traffic, clock) as live:
        traffic.received += 500
        traffic.refused[401] = 89
        clock.now += 2
        live.update()
    assert line in shown(console)


def test_log_above_the_line():
    """A log line has a time, and is printed above the line of the terminal, unchanged."""
    console, logger = terminal(80), logging.getLogger("openpipe_report.server")
    with LiveLine(console, Traffic(), Clock()) as live:
        live.update()
        logger.warning("[red]x[/red]")
    logger.warning("afterwards")
    assert re.search(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ WARNING \[red\]x\[/red\]", console.file.getvalue()
    )
    assert "afterwards" not in console.file.getvalue()


def test_pipe(capsys):
    """A pipe gets no line, and the log goes to stderr with a time."""
    console = Console(file=io.StringIO(), force_terminal=False)
    with LiveLine(console, Traffic(), Clock()) as live:
        live.update()
        logging.getLogger("openpipe_report.server").warning("x")
    assert console.file.getvalue() == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ WARNING x\n", capsys.readouterr().err)
