"""The line of `serve` on a terminal that shows what comes in, and the log above it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console
    from typing_extensions import Self

    from openpipe_report.server.traffic import Traffic

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LiveLine:
    """
    Shows reports received, requests refused and the rate; a context manager.

    Only on a terminal: a pipe gets nothing of it. Log lines have a time; on a terminal they are
    printed above the line, else to stderr.

    Args:
        console: The terminal.
        traffic: The counts.
        clock: Seconds of a clock that is never set back.

    """

    def __init__(
        self, console: Console, traffic: Traffic, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._traffic = traffic
        self._clock = clock
        self._received, self._at = traffic.received, clock()
        self._live: Live | None = None
        self._handler: logging.Handler = logging.StreamHandler()
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._handler = _AboveTheLine(console)
        self._handler.setFormatter(logging.Formatter(_FORMAT))

    def update(self) -> None:
        """Show the present counts, and the rate since the last update."""
        if self._live is None:
            return
        now, received = self._clock(), self._traffic.received
        rate = (received - self._received) / max(now - self._at, 0.001)
        self._received, self._at = received, now
        refused = sum(self._traffic.refused.values())
        line = f"received {received}  refused {refused}  {rate:.0f}/s"
        if len(line) > self._console.width:
            line = f"{received} in, {refused} refused, {rate:.0f}/s"
        try:
            self._live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)
        except OSError:  # the terminal is gone; the receiver goes on
            self._live = None

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._handler)
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        logging.getLogger().removeHandler(self._handler)


class _AboveTheLine(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._console.print(Text(self.format(record)), soft_wrap=True)
        except Exception:  # noqa: BLE001 - logging's own rule for handlers
            self.handleError(record)
