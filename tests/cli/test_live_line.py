"""The line of `serve` on a terminal, and the log above it."""

from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from openpipe_report.cli.live_line import LiveLine
from openpipe_report.server.traffic import Traffic


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def terminal(width):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(console):
    """Return the lines that were shown, one for each update."""
    text = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", console.file.getvalue())
    return re.findall(r"[^\r\n]*\d/s", text)


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


class GoneTerminal(io.StringIO):
    def write(self, text):
        if "received" in text:
            raise OSError("the terminal is gone")
        return len(text)


def test_terminal_is_gone():
    """A terminal that goes away does not stop the receiver."""
    console = Console(file=GoneTerminal(), force_terminal=True)
    with LiveLine(console, Traffic(), Clock()) as live:
        live.update()
        live.update()
