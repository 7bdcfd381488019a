"""
ReportingConfig: how a client reports. Finds the reporter for what a constructor was given.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openpipe_report._delivery.registry import shared_reporter
from openpipe_report._delivery.reporter import Reporter, capture_stack
from openpipe_report._environment import load_settings
from openpipe_report._errors import SettingsError
from openpipe_report._log import log_once

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._delivery.arguments import SettingsArguments
    from openpipe_report._settings import Settings


@dataclass(frozen=True, slots=True)
class ReportingConfig:
    """How a client reports: its settings, and its reporter where it has one."""

    settings: Settings
    configured_reporter: Reporter | None

    targets_own_upstream: bool = False
    """Whether calls go to the very API that takes the reports: OpenPipe's logs what it serves."""
    is_opted_out: bool = False
    """Whether `enabled=False` was given as an argument: then not even a test captures reports."""

    def for_client(self, base_url: object) -> ReportingConfig:
        """Return the config for a client that calls this URL."""
        same = str(base_url).rstrip("/") == self.settings.api_url
        return (
            self if same == self.targets_own_upstream else replace(self, targets_own_upstream=same)
        )

    @property
    def reporter(self) -> Reporter | None:
        """Where reports go; None where they do not."""
        if self.targets_own_upstream or self.is_opted_out:
            return None
        if capture_stack:
            return capture_stack[-1].reporter_for(self.settings)
        return self.configured_reporter


_inherited: ContextVar[ReportingConfig | None] = ContextVar(
    "openpipe_report_inherited", default=None
)
"""The config for the client that `copy()` is constructing."""


def load_reporting_config(
    openpipe: SettingsArguments | None, reporter: Reporter | None
) -> ReportingConfig:
    """Find the reporter for a new client; without a destination, say once that there is none."""
    if reporter is not None:
        if openpipe is not None:
            raise SettingsError("give openpipe={...} or reporter=, not both")
        if not isinstance(reporter, Reporter):
            raise SettingsError(f"reporter= must be a Reporter, got {type(reporter).__name__}")
        return ReportingConfig(
            reporter.settings,
            reporter if reporter.settings.enabled else None,
            is_opted_out=reporter.is_opted_out,
        )
    inherited = _inherited.get()
    if inherited is not None and openpipe is None:
        return inherited
    config = _load(openpipe)
    if config.configured_reporter is None and config.settings.enabled:
        warn_disabled()
    return config


def _load(openpipe: SettingsArguments | None) -> ReportingConfig:
    settings = load_settings(os.environ, openpipe)
    if settings.active:
        return ReportingConfig(settings, shared_reporter(settings))
    opted_out = openpipe is not None and openpipe.get("enabled") is not None
    return ReportingConfig(settings, None, is_opted_out=opted_out and not settings.enabled)


def warn_disabled() -> None:
    """Say, once per process, that there is no destination."""
    log_once(
        "disabled",
        "reporting is disabled: set OPENPIPE_API_KEY or OPENPIPE_BASE_URL "
        "(or OPENPIPE_REPORT_ENABLED=false to silence this)",
    )


_DECISIVE = (
    "OPENPIPE_API_KEY",
    "OPENPIPE_BASE_URL",
    "OPENPIPE_REPORT_ENABLED",
    "OPENPIPE_REPORT_BEFORE_REPORT",
    "OPENPIPE_REPORT_SAMPLE_RATE",
)
"""Variables that a program may set after its first span, as by loading a .env file."""


class _Default:
    """The config of the environment, kept while the variables that matter most stay the same."""

    variables: tuple[str | None, ...] = ()
    config: ReportingConfig | None = None


def environment_config() -> ReportingConfig:
    """
    Return how a client without any argument reports; loaded anew where that has changed.

    It says nothing where there is no destination: a reporter that the program made may do.
    """
    variables = tuple(map(os.environ.get, _DECISIVE))
    config = _Default.config
    reporter = None if config is None else config.configured_reporter
    is_over = reporter is not None and reporter.closed
    if config is None or variables != _Default.variables or is_over:
        config = _Default.config = _load(None)
        _Default.variables = variables
    return config


def warn_websocket(config: ReportingConfig) -> None:
    """Say, once per process, that WebSocket connections are not reported."""
    if config.reporter is not None and _inherited.get() is None:
        log_once("websocket", "WebSocket connections (realtime and others) are not reported")


@contextmanager
def inherit_config(config: ReportingConfig) -> Generator[None]:
    """Give `config` to the clients that are constructed inside, as `copy()` does."""
    outer = _inherited.get()
    _inherited.set(config)
    try:
        yield
    finally:
        _inherited.set(outer)
