"""
The reporter of a span, and the policies that apply to it: those of the clients called inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._delivery import registry
from openpipe_report._delivery.destination import environment_config, warn_disabled
from openpipe_report._delivery.reporter import captured
from openpipe_report._log import log_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._context.called import CalledReporters
    from openpipe_report._delivery.reporter import Reporter


def choose_reporter(given: Reporter | None, called: CalledReporters) -> Reporter | None:
    """
    Choose the reporter of a span.

    Args:
        given: The span's own reporter, or the enclosing span's.
        called: The reporters of the calls inside.

    Returns:
        The given reporter, else the first that was called, else the environment's, else the only
        one that is live. None if none can be chosen, which is logged once, or if reporting is off.
    """
    if given is not None:
        return captured(given)
    if called.reporters:
        return called.reporters[0]
    config = environment_config()
    if config.reporter is not None or not config.settings.enabled:
        return config.reporter
    reporters = registry.live_reporters()
    if len(reporters) == 1:
        return reporters[0]
    if reporters:
        reporters[0].accounting.count_drop("no reporter")
    else:
        warn_disabled()
    log_once(
        "span without reporter",
        "a span has no reporter to go to (%d are live); give it one with reporter=",
        len(reporters),
    )
    return None


def further_hooks(reporter: Reporter, called: CalledReporters) -> tuple[Callable[[Any], Any], ...]:
    """Return the hooks of the clients called inside that the span's own reporter does not run."""
    hooks: list[Callable[[Any], Any]] = []
    for each in called.reporters:
        hook = each.settings.before_report
        if hook is not None and hook is not reporter.settings.before_report and hook not in hooks:
            hooks.append(hook)
    return tuple(hooks)
