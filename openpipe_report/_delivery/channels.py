"""
Which channel a reporter uses: one for each destination, as long as it is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from openpipe_report._delivery import process
from openpipe_report._delivery.channel import Channel
from openpipe_report._delivery.fork_safe_lock import ForkSafeLock

if TYPE_CHECKING:
    from openpipe_report._delivery.channel import Timing
    from openpipe_report._delivery.queue import ReportOwner

_DESTINATION = (
    "report_url",
    "api_key",
    "connect_timeout",
    "read_timeout",
    "retry_for",
    "senders",
    "max_queue_reports",
    "max_queue_bytes",
    "spool",
    "spool_max_bytes",
)


class _Channels:
    """The channels of the process, by destination."""

    def __init__(self) -> None:
        self.by_destination: WeakValueDictionary[tuple[Any, ...], Channel] = WeakValueDictionary()
        self.lock = ForkSafeLock()
        """Guards the table, and that nobody joins a channel while it is closed."""


_channels = _Channels()


def join_channel(owner: ReportOwner, timing: Timing) -> None:
    """Let a reporter join the channel to its destination; make one if none is open."""
    settings = owner.settings
    destination = (
        timing,
        id(settings.http_client),
        *(getattr(settings, name) for name in _DESTINATION),
    )
    with _channels.lock:
        channel = _channels.by_destination.get(destination)
        if channel is None or channel.queue.closed:
            channel = _channels.by_destination[destination] = Channel(settings, timing)
        owner.join(channel)
        channel.owners.add(owner)


def leave_channel(owner: ReportOwner, channel: Channel) -> None:
    """Drop what a reporter has pending after its shutdown; the last one closes the channel."""
    with _channels.lock:
        if channel.closed:
            channel.queue.close()
    if channel.queue.closed:
        channel.close()
    else:
        channel.drop(owner)


def channels(*, closed: bool = False) -> list[Channel]:
    """Return every channel with an owner that is not shut down; with `closed`, the others too."""
    return [each for each in process.participants(closed=closed) if isinstance(each, Channel)]
