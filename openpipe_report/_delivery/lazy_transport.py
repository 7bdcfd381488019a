"""
Sets up the connections of one channel at its first attempt, and says where reports go.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from openpipe_report._delivery.transport import Transport
from openpipe_report._log import log_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._settings import Settings

_connecting = threading.RLock()
"""
Held while connections are set up, which makes httpx import the rest of itself; no fork happens
meanwhile. A child that is forked in the midst of an import by another thread would wait for ever
to import the same (tried, 3.10 to 3.13).
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_connecting.acquire,
        after_in_parent=_connecting.release,
        after_in_child=_connecting.release,
    )


class LazyTransport:
    """
    The transport to one destination, made when it is first asked for. Safe for threads.

    Args:
        settings: Say where it leads to.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport: Transport | None = None

    def get(self, on_wait: Callable[[], object]) -> Transport:
        """
        Return the transport; make it, if it is not there yet.

        Args:
            on_wait: Called where this may take some time.

        Raises:
            CannotConnectError: The environment names a proxy or certificates that cannot be used.
        """
        if self._transport is None:
            on_wait()
            with _connecting:
                if self._transport is None:
                    self._transport = Transport(self._settings)
                    self._log_destination()
        return self._transport

    def _log_destination(self) -> None:
        """Log the destination once, as a WARNING if it is the hosted default."""
        host = urlsplit(self._settings.report_url).netloc
        is_hosted = self._settings.base_url is None
        log_once(
            f"destination {host}",
            "reporting to %s%s",
            host,
            ", OpenPipe's hosted API: OPENPIPE_BASE_URL is not set" if is_hosted else "",
            level=logging.WARNING if is_hosted else logging.INFO,
        )

    def close_mine(self) -> None:
        """Close the connection of this thread, which ends."""
        if self._transport is not None:
            self._transport.close_mine()
