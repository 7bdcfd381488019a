"""
Link: how a client reports. Finds the reporter for what a constructor was given.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openpipe_report._delivery.registry import shared_reporter
from openpipe_report._delivery.reporter import Reporter, capture_stack
from openpipe_report._errors import SettingsError
from openpipe_report._log import logger
from openpipe_report._settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


@dataclass(frozen=True, slots=True)
class Link:
    """How a client reports: its settings, and its reporter where it has one."""

    settings: Settings
    own_reporter: Reporter | None

    logged_upstream: bool = False
    """Whether calls go to the very API that takes the reports: OpenPipe's logs what it serves."""

    def for_client(self, base_url: object) -> Link:
        """Return the link for a client that calls this URL."""
        same = str(base_url).rstrip("/") == self.settings.report_url.removesuffix("/report")
        return self if same == self.logged_upstream else replace(self, logged_upstream=same)

    @property
    def reporter(self) -> Reporter | None:
        """Where reports go; None where they do not."""
        if self.logged_upstream:
            return None
        return capture_stack[-1] if capture_stack else self.own_reporter


_inherited: ContextVar[Link | None] = ContextVar("openpipe_report_inherited", default=None)
"""The link for the client that `copy()` is constructing."""

_said_off = False


def make_link(openpipe: Mapping[str, Any] | None, reporter: Reporter | None) -> Link:
    """Find the reporter for a new client; without a destination, say once that there is none."""
    global _said_off  # noqa: PLW0603 - said once per process
    if reporter is not None:
        if openpipe is not None:
            raise SettingsError("give openpipe={...} or reporter=, not both")
        if not isinstance(reporter, Reporter):
            raise SettingsError(f"reporter= must be a Reporter, got {type(reporter).__name__}")
        return Link(reporter.settings, reporter if reporter.settings.enabled else None)
    inherited = _inherited.get()
    if inherited is not None and openpipe is None:
        return inherited
    settings = load_settings(os.environ, openpipe)
    if settings.active:
        return Link(settings, shared_reporter(settings))
    if settings.enabled and not _said_off:
        _said_off = True
        logger.warning(
            "openpipe_report: reporting is off, for want of OPENPIPE_API_KEY or OPENPIPE_BASE_URL "
            "(OPENPIPE_REPORT_ENABLED=false says so without this line)"
        )
    return Link(settings, None)


_said_websocket = False


def note_websocket(link: Link) -> None:
    """Say, once per process, that WebSocket connections are not reported."""
    global _said_websocket  # noqa: PLW0603 - said once per process
    if link.reporter is not None and _inherited.get() is None and not _said_websocket:
        _said_websocket = True
        logger.warning("openpipe_report: WebSocket connections (realtime and others) go unreported")


@contextmanager
def inheriting(link: Link) -> Generator[None]:
    """Give `link` to the clients that are constructed inside, as `copy()` does."""
    outer = _inherited.get()
    _inherited.set(link)
    try:
        yield
    finally:
        _inherited.set(outer)
