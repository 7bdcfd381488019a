"""
Keeps our own POSTs out of what observes the user's: httpx's log lines, OpenTelemetry's spans.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

_LOGGERS = (
    "httpx",
    *(f"httpcore.{p}" for p in ("connection", "http11", "http2", "proxy", "socks")),
)


class _OwnRequests(logging.Filter):
    """Keeps the lines of httpx and httpcore about our own requests out of the user's log."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        return not _this_thread.sending


class _ThisThread(threading.local):
    sending = False


_this_thread = _ThisThread()
_own_requests = _OwnRequests()


@contextmanager
def unobserved() -> Generator[None]:
    """Keep our own POSTs out of the user's log and, where that is loaded, OpenTelemetry."""
    _this_thread.sending = True
    context = sys.modules.get("opentelemetry.context")
    token = None if context is None else context.attach(_suppressed(context))
    try:
        yield
    finally:
        _this_thread.sending = False
        if context is not None:
            context.detach(token)


def _suppressed(context: Any) -> Any:
    current = context.set_value("suppress_instrumentation", True)  # noqa: FBT003 - its API
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        if key := getattr(context, name, None):
            current = context.set_value(key, True, current)  # noqa: FBT003 - its API
    return current


def hide_log_lines() -> None:
    """Keep httpx's and httpcore's lines about our own requests out of the user's log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_own_requests)
