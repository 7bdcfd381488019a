"""
For your own tests: see what your code reports, without a server.

    from openpipe_report.testing import captured_reports

    def test_it_labels_its_calls():
        with captured_reports() as reports:
            my_code()
        assert reports[0].reqPayload["metadata"] == {"feature": "search"}
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openpipe_report._delivery.reporter import Reporter, capture_stack
from openpipe_report._report.encode import encode_report
from openpipe_report._report.metadata_update import MetadataUpdate, encode_update
from openpipe_report._report.model import Report

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._delivery.budget import Reservation
    from openpipe_report._report.model import ReportSource
    from openpipe_report._settings import Settings

__all__ = ["CapturedReports", "MetadataUpdate", "captured_reports"]

_NOWHERE = {
    "base_url": "http://captured-reports.invalid",
    "enabled": True,
    "http_client": None,
    "spool": None,
}
"""A capturing reporter sends nothing; what may be sent stays as it is."""


class CapturedReports(list[Report]):
    """The reports that were captured, and the changes of labels."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[MetadataUpdate] = []
        """What `feedback()` and `Reporter.update_metadata()` would have sent, in their order."""


class _CapturingReporter(Reporter):
    """Builds each report at once, as it would be sent, and keeps it."""

    captured: CapturedReports

    def submit(
        self,
        source: ReportSource | MetadataUpdate,
        reservation: Reservation | None = None,  # noqa: ARG002 - closed by its owner
    ) -> bool:
        if isinstance(source, MetadataUpdate):
            body = encode_update(source, self.settings)
            if isinstance(body, bytes):
                wire = json.loads(body)
                completion_id = wire["filters"][0]["equals"]
                self.captured.updates.append(MetadataUpdate(completion_id, wire["metadata"]))
            return True
        body = encode_report(source, self.settings)
        if isinstance(body, bytes):
            self.captured.append(Report(**json.loads(body)))
        return True


class _Capture:
    """One block of `captured_reports()`: a capturing reporter for each policy that is met."""

    def __init__(self) -> None:
        self.reports = CapturedReports()
        self._reporters: dict[int, tuple[Settings, _CapturingReporter]] = {}
        """By the id of the settings, which are kept so that none is used again."""

    def reporter_for(self, settings: Settings) -> Reporter:
        known = self._reporters.get(id(settings))
        if known is not None:
            return known[1]
        policy = settings.model_copy(update=_NOWHERE)
        reporter = _CapturingReporter.from_settings(policy)
        assert isinstance(reporter, _CapturingReporter)  # noqa: S101 - for the type checker
        reporter.captured = self.reports
        return self._reporters.setdefault(id(settings), (settings, reporter))[1]

    def reporters(self) -> list[_CapturingReporter]:
        return [reporter for _, reporter in list(self._reporters.values())]


@contextmanager
def captured_reports() -> Generator[CapturedReports]:
    """
    Collect what every client and span in the process reports while the block runs.

    Nothing is sent, and no settings are needed. Each report goes by the policy of its own client:
    `before_report`, `sample_rate` and the size limit are applied. A report is in the list as soon
    as its call is over; one of a stream when the stream is; streams that are still open when the
    block ends are reported then. Blocks nest: the innermost collects. Clients that were made
    before count, too.

    Yields:
        The reports, as they would have been sent, in the order in which the calls ended; their
        `updates` are the changes of labels, which `feedback()` makes.
    """
    capture = _Capture()
    capture_stack.append(capture)
    try:
        yield capture.reports
    finally:
        for reporter in capture.reporters():
            reporter.sweep(at_exit=True)
        capture_stack.remove(capture)
        for reporter in capture.reporters():
            reporter.shutdown(0)
