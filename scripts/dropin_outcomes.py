"""A pytest plugin for `dropin.py`: writes the outcome of each test into the folder DROPIN_OUT."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

outcomes: dict[str, str] = {}
failures: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note an outcome; a failure in setup or teardown is the test's."""
    if report.failed:
        outcomes[report.nodeid] = "failed"
        failures.setdefault(report.nodeid, f"({report.when}) {report.longreprtext}")
    elif report.skipped or hasattr(report, "wasxfail"):
        outcomes.setdefault(report.nodeid, "skipped")
    elif report.when == "call":
        outcomes.setdefault(report.nodeid, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was noted, unless this is one of xdist's workers: the controller hears of all."""
    if not hasattr(session.config, "workerinput"):
        found = json.dumps({"outcomes": outcomes, "failures": failures})
        Path(os.environ["DROPIN_OUT"], "outcomes.json").write_text(found, "utf-8")
