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
from openpipe_report._report.model import Report
from openpipe_report._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._report.model import ReportSource

_NOWHERE = "http://captured-reports.invalid"


class _CapturingReporter(Reporter):
    """Builds each report at once, as it would be sent, and keeps it."""

    captured: list[Report]

    def submit(self, source: ReportSource) -> bool:
        body = encode_report(source, self.settings)
        if isinstance(body, bytes):
            self.captured.append(Report(**json.loads(body)))
        return True


@contextmanager
def captured_reports() -> Generator[list[Report]]:
    """
    Collect what every client and span in the process reports while the block runs.

    Nothing is sent, and no settings are needed. A report is in the list as soon as its call is
    over; one of a stream when the stream is; streams that are still open when the block ends are
    reported then. Blocks nest: the innermost collects. Clients that were made before count, too.

    Yields:
        The reports, as they would have been sent, in the order in which the calls ended.
    """
    reporter = _CapturingReporter.from_settings(Settings(base_url=_NOWHERE))
    assert isinstance(reporter, _CapturingReporter)  # noqa: S101 - for the type checker
    reporter.captured = []
    capture_stack.append(reporter)
    try:
        yield reporter.captured
    finally:
        reporter.sweep(at_exit=True)
        capture_stack.remove(reporter)
        reporter.shutdown(0)
