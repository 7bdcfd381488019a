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
    """Record the outcome of a test; a failure in setup or teardown counts as the test's."""
    if report.failed:
        outcomes[report.nodeid] = "failed"
        failures.setdefault(report.nodeid, f"({report.when}) {report.longreprtext}")
    elif report.skipped or hasattr(report, "wasxfail"):
        outcomes.setdefault(report.nodeid, "skipped")
    elif report.when == "call":
        outcomes.setdefault(report.nodeid, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the outcomes, unless this is a worker of xdist: the controller gets all of them."""
    if not hasattr(session.config, "workerinput"):
        found = json.dumps({"outcomes": outcomes, "failures": failures})
        Path(os.environ["DROPIN_OUT"], "outcomes.json").write_text(found, "utf-8")
