"""
Reporter: takes what is to be reported, and delivers it in the background.

What it guarantees: `submit()` never waits, never raises, and takes no lock that a finalizer could
deadlock on (that of the accounting is re-entrant, the queue a SimpleQueue). What it gives up: the
order of delivery.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from openpipe_report._delivery.accounting import Accounting
from openpipe_report._delivery.channel import DEFAULT_TIMING
from openpipe_report._delivery.channels import join_channel, leave_channel
from openpipe_report._delivery.drop_log import DropLog
from openpipe_report._delivery.event_loop import find_sleep
from openpipe_report._delivery.policies import note_policy
from openpipe_report._delivery.stats import Stats, past_stats
from openpipe_report._delivery.workers import is_delivering
from openpipe_report._environment import load_settings
from openpipe_report._errors import SettingsError
from openpipe_report._log import run_guarded
from openpipe_report._report.json_codec import copy_json
from openpipe_report._report.metadata_update import make_update
from openpipe_report._report.model import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from openpipe_report._delivery.arguments import Label, SettingsArguments
    from openpipe_report._delivery.budget import Reservation
    from openpipe_report._delivery.channel import Channel, Timing
    from openpipe_report._delivery.flushes import Flushed
    from openpipe_report._report.metadata_update import MetadataUpdate
    from openpipe_report._report.model import ReportFields, ReportSource
    from openpipe_report._settings import Settings


class OpenStream(Protocol):
    """A streamed answer that is still being read, as the reporter sees it."""

    def is_abandoned(self) -> bool:
        """Whether nobody can be reading it any more, except this thread or task."""
        ...

    def end(self, reason: str) -> None:
        """Report it as it stands; a second end changes nothing."""
        ...


class ManualReport:
    """A report that a user made; nobody else has its payloads."""

    trace_id = None

    def __init__(self, report: Report, size: int) -> None:
        self._report = report
        self.size = size

    def discard_if_succeeded(self) -> bool:
        return False

    def build(self, _sent: object) -> Report:
        return self._report


class Reporter:
    """
    Delivers reports to one server, for as many clients as share it.

        reporter = Reporter(base_url="http://127.0.0.1:8417/api/v1")
        client = OpenAI(reporter=reporter)

    It starts no thread before its first report; its threads are daemons, and end when there is
    nothing to do. Safe to share between threads. A forked child begins with an empty queue and
    threads of its own; the parent keeps what it had. At exit what is pending gets `exit_timeout`
    seconds.

    Args:
        settings: Any field of `Settings` by name; what is not given comes from the environment.
            `SettingsArguments` describes each.

    Raises:
        SettingsError: A setting is wrong, or there is neither an API key nor a base URL.
    """

    def __init__(self, **settings: Unpack[SettingsArguments]) -> None:
        loaded = load_settings(os.environ, settings)
        if loaded.enabled and not loaded.active:
            raise SettingsError(
                "a Reporter needs base_url (or OPENPIPE_BASE_URL), "
                "or api_key (or OPENPIPE_API_KEY) for OpenPipe's hosted API"
            )
        self.is_opted_out = settings.get("enabled") is not None and not loaded.enabled
        note_policy(loaded)
        self._begin(loaded, DEFAULT_TIMING)

    @classmethod
    def from_settings(cls, settings: Settings, timing: Timing = DEFAULT_TIMING) -> Reporter:
        """Make a reporter of settings that were loaded already."""
        reporter = cls.__new__(cls)
        reporter.is_opted_out = False
        reporter._begin(settings, timing)  # noqa: SLF001 - its own
        return reporter

    def _begin(self, settings: Settings, timing: Timing) -> None:
        self.settings = settings
        self._closed = False
        self.drop_log = DropLog(urlsplit(settings.report_url).netloc, settings.on_drop)
        join_channel(self, timing)

    def join(self, channel: Channel) -> None:
        """Begin to report over a channel."""
        self.channel = channel
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child: nothing pending, nothing counted."""
        self.pid = os.getpid()
        self.open_streams: dict[int, OpenStream] = {}
        self.accounting = Accounting(self.channel.budget)
        if self.channel.settings.http_client is None and self.settings.http_client is not None:
            self.settings = self.settings.model_copy(update={"http_client": None})

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Reporter to {self.settings.report_url}>"

    def __deepcopy__(self, memo: object) -> Reporter:
        return self

    def __del__(self) -> None:
        # Runs anywhere, under any lock; at the end of the interpreter even without our globals.
        if sys is not None and not sys.is_finalizing():
            run_guarded("keeping the stats", self._keep_stats)

    def _keep_stats(self) -> None:
        if "accounting" in self.__dict__:  # otherwise its settings were wrong
            past_stats.add(self.accounting.stats(open_streams=0, threads=0))

    # What the caller's thread does; a finalizer may, too.

    def submit(
        self, source: ReportSource | MetadataUpdate, reservation: Reservation | None = None
    ) -> bool:
        """
        Queue what is to be reported; when the queue is full, drop and count it: False.

        Args:
            source: Builds the report, or is a change of labels.
            reservation: The memory that it was charged for as an open stream.
        """
        if self._closed:
            self.accounting.count_drop("shutdown")
            self.drop_log.log("shutdown", 1)
            return False
        if sys.is_finalizing():  # no thread runs any more, and nobody will come to look
            self.accounting.count_drop("exit")
            return False
        size = source.size
        epoch = self.accounting.try_admit(size, reservation=reservation)
        if epoch is None:
            return False
        try:
            self.channel.submit((source, size, epoch, self))
        finally:
            self.accounting.flushes.note_queued(epoch)
        return True

    def run_soon(self, task: Callable[[], None]) -> None:
        """Let a sender thread run a short function that never raises."""
        self.channel.threads.run_soon(task)

    # What a user asks for.

    def report(self, **fields: Unpack[ReportFields]) -> bool:
        """
        Report a call that no client of ours has made: the API's seven fields, by name.

            reporter.report(
                requestedAt=began_ms,
                receivedAt=ended_ms,
                reqPayload={"model": "claude-3", "messages": messages},
                respPayload=answer,
                statusCode=200,
                tags={"provider": "anthropic"},
            )

        What JSON cannot say (objects, NaN) is named in its place. The payloads may be changed
        afterwards. `before_report` and the limits hold for it as for any report.

        Returns:
            Whether it was queued: False if reporting is off, and if it was dropped and counted.

        Raises:
            pydantic.ValidationError: A field is unknown, or of the wrong type.
        """
        copied, size = copy_json(Report(**fields).to_wire())
        return self._submit_by_policy(ManualReport(Report(**copied), size))

    def update_metadata(self, *, completion_id: str, metadata: Mapping[str, Label]) -> bool:
        """
        Change labels of a completion's reports, which may still be on their way.

            reporter.update_metadata(completion_id=completion.id, metadata={"score": 5})

        The change is queued, spooled, retried, flushed and counted like a report, and goes to
        `POST {base_url}/logs/update-metadata`. A server that finds no such report takes it all the
        same; our receiver keeps it for an hour until the report comes. `before_report` is shown
        the labels as the `reqPayload["metadata"]` of a report with the tag
        `"$endpoint": "logs/update-metadata"`, and what it leaves of them is sent.

        Args:
            completion_id: The `id` of the answer.
            metadata: Strings, finite numbers, booleans or None by name. Values become strings, as
                the API wants them; None removes a label.

        Returns:
            Whether it was queued: False if reporting is off, and if it was dropped and counted.

        Raises:
            TypeError: The id or a value is of another kind.
            ValueError: The id or the metadata is empty.
        """
        return self._submit_by_policy(make_update(completion_id, metadata))

    def _submit_by_policy(self, source: ReportSource | MetadataUpdate) -> bool:
        reporter = captured(self)
        is_wanted = reporter.settings.enabled and not self.is_opted_out
        return is_wanted and reporter.submit(source)

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """
        Wait until what was queued before is delivered.

        Streams that were left open are reported as they stand where nobody can read on: their
        thread has ended, or their event loop is closed. No other stream is touched, not even one
        of this thread's own: it may be in the middle of reading it.
        In a hook of the reporter's own (`before_report`, `on_drop`) it does not wait, nor in a
        signal handler that has interrupted the counting of a report.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            True if all of it was delivered, else how many are pending or lost, and why.
        """
        self._begin_flush()
        return self._end_flush(self.accounting.flushes.wait(0.0 if is_delivering() else timeout))

    async def aflush(self, timeout: float | None = 30.0) -> Flushed:
        """
        Flush as `flush()` does, without blocking the event loop: asyncio's or trio's.

        It starts no thread to wait in, and leaves nothing behind where it is cancelled.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            As `flush()`.
        """
        self._begin_flush()
        timeout = 0.0 if is_delivering() else timeout
        return self._end_flush(await self.accounting.flushes.wait_async(timeout, find_sleep()))

    def _begin_flush(self) -> None:
        self.sweep()
        if self.accounting.pending:
            self.channel.threads.hurry()
            self.channel.threads.ensure_thread()

    def _end_flush(self, flushed: Flushed) -> Flushed:
        if not is_delivering():
            self.channel.sender.log_drops()
        if flushed.pending:
            reasons = (flushed.reason, self.channel.queue.last_error() or "not answered yet")
            flushed = replace(flushed, reason="; ".join(filter(None, reasons)))
        return flushed

    def sweep(self, *, at_exit: bool = False) -> None:
        """Report streams that nobody can be reading, see `flush()`; at exit all of them."""
        for stream in list(self.open_streams.values()):
            if at_exit or stream.is_abandoned():
                why = "stream still open at exit" if at_exit else "stream still open at flush"
                run_guarded("ending a stream", stream.end, why)

    def shutdown(self, timeout: float | None = 30.0) -> Flushed:
        """
        Flush, then stop for good: later reports are dropped and counted.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            As `flush()`. What is still pending after it is dropped, but for what is being sent.
        """
        flushed = self.flush(timeout)
        self._closed = True
        leave_channel(self, self.channel)
        return flushed

    def stats(self) -> Stats:
        """Count what became of the reports so far."""
        return self.accounting.stats(
            open_streams=len(self.open_streams), threads=len(self.channel.threads)
        )


class Capture(Protocol):
    """What `testing.captured_reports()` puts in the place of all reporters."""

    def reporter_for(self, settings: Settings) -> Reporter:
        """Return the reporter that captures what goes by these settings."""
        ...


capture_stack: list[Capture] = []
"""The innermost takes the reports of all reporters."""


def captured(reporter: Reporter) -> Reporter:
    """Return what stands for a reporter: itself, unless reports are captured."""
    return capture_stack[-1].reporter_for(reporter.settings) if capture_stack else reporter
