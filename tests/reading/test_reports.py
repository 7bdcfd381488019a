"""`read_reports()`: the public function, on a file and on a receiver."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from openpipe_report import OpenPipeError, read_reports
from openpipe_report._reading import iterate_judged, open_source
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
"""The time of report 0."""


@pytest.fixture(params=["stored", "receiver"])
def location(request):
    """The same reports as a path and as the URL of a receiver."""
    return request.getfixturevalue(request.param)


def numbers(rows):
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    "conditions, expected",
    [
        pytest.param({}, range(1, 1_206), id="all"),
        pytest.param({"limit": 3}, [1_203, 1_204, 1_205], id="the newest"),
        pytest.param({"limit": 0}, [], id="none"),
        pytest.param({"where": {"n": 7}}, [7], id="number"),
        pytest.param({"where": {"n": "7", "user": "u0"}}, [7], id="two labels"),
        pytest.param({"where": {"n": 7, "user": "u1"}}, [], id="no match"),
        pytest.param({"trace": "t1", "error": True}, [12, 15, 18], id="failed calls of a trace"),
        pytest.param({"trace": "t0", "status": 500}, [3, 6, 9], id="status"),
        pytest.param(
            {"trace": "t0", "status": "2xx", "min_ms": 99.5}, [1, 2, 4, 5, 7, 8], id="2xx"
        ),
        pytest.param({"until": START + timedelta(seconds=3)}, [1, 2], id="datetime"),
        pytest.param({"until": 1_700_000_003_000}, [1, 2], id="milliseconds"),
        pytest.param({"until": "2023-11-14T22:13:23"}, [1, 2], id="ISO 8601"),
        pytest.param({"since": START + timedelta(seconds=1_204.5)}, [1_205], id="since"),
        pytest.param({"text": "word3", "trace": "t0"}, [3, 8], id="text"),
        pytest.param({"model": "gpt-4o-2024", "limit": 1}, [1_205], id="model"),
        pytest.param({"since": "1h"}, [], id="age"),
        pytest.param({"project": "default", "limit": 1}, [1_205], id="project"),
        pytest.param({"project": "other"}, [], id="other project"),
    ],
)
def test_conditions(location, conditions, expected):
    """The conditions are those of the API; reports come oldest first."""
    assert numbers(read_reports(location, payloads=False, **conditions)) == [*expected]


def test_payloads(location):
    """A report has its payloads, unless they are not wanted."""
    [whole] = read_reports(location, limit=1)
    assert whole["report"]["reqPayload"]["metadata"] == {"user": "u1", "n": 1_205}
    [row] = read_reports(location, limit=1, payloads=False)
    assert row == {name: value for name, value in whole.items() if name != "report"}


def test_frame(location):
    """A DataFrame has typed columns, times in UTC, a column for each label, and the reports."""
    frame = read_reports(location, where={"user": "u1"}, until=START + timedelta(60), as_frame=True)
    assert frame["at"].iloc[0] == START + timedelta(seconds=1)
    assert (frame["at"].diff().dropna() == timedelta(seconds=7)).all()
    assert frame["metadata.n"].tolist() == frame["id"].tolist()
    assert frame["status"].dtype == "Int64"
    assert frame["failed"].dtype == "boolean"
    assert frame["cost"].isna().all()
    assert frame["failed"].sum() == len(frame) // 3
    assert frame["duration_ms"].mean() == 100
    assert frame["report"].iloc[0]["statusCode"] == 200
    assert frame.groupby("metadata.user").size().to_dict() == {"u1": len(frame)}


def test_empty_frame(location):
    """A DataFrame of nothing has the columns of the API with their types."""
    frame = read_reports(location, trace="none", payloads=False, as_frame=True)
    assert len(frame) == 0
    assert "report" not in frame
    assert str(frame["at"].dtype) == "datetime64[ns, UTC]"
    assert frame["prompt_tokens"].dtype == "Int64"


@pytest.mark.parametrize(
    "conditions, message",
    [
        pytest.param({"status": "abc"}, "status", id="status"),
        pytest.param({"since": "yesterday"}, "since", id="time"),
        pytest.param({"min_cost": float("nan")}, "min_cost", id="number"),
    ],
)
def test_wrong_condition(location, conditions, message):
    """A wrong condition is an error that names it."""
    with pytest.raises(OpenPipeError, match=message):
        read_reports(location, **conditions)


def test_missing(tmp_path):
    """A file that is not there is an error, and is not created."""
    with pytest.raises(OpenPipeError, match=r"no database at"):
        read_reports(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_import_brings_nothing():
    """Neither the name nor a receiver's reports need pandas, pyarrow or a database."""
    script = """
import sys
import openpipe_report._reading.remote
from openpipe_report import read_reports
assert not {"pandas", "pyarrow", "sqlalchemy", "openai", "fastapi"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_judged(tmp_path, kind):
    """Only reports with feedback are read whole, whatever the completion ids of others are."""
    path = tmp_path / "reports.db"
    with Store(path) as store:
        for number in range(1, 7):
            store.add({"respPayload": {"id": str(number + 1)}, "reqPayload": {}}).result()
        for number, labels in ((2, {"feedback": "up"}), (4, {"corrected": "x"}), (5, {"a": "b"})):
            of_one = [{"field": "completionId", "equals": str(number + 1)}]
            store.update_metadata(of_one, labels).result()
    with (
        Store(path, read_only=True) as store,
        serving(create_app(store)) as url,
        open_source(path if kind == "local" else url) as source,
    ):
        found = list(iterate_judged(source))
    assert [(row["id"], row["report"]["respPayload"]["id"]) for row in found] == [
        (2, "3"),
        (4, "5"),
    ]
