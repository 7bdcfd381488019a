"""The formats csv and parquet."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import tracemalloc
from datetime import datetime, timezone

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.export_rows import chat

from openpipe_report._export import Export
from openpipe_report._export.columns import COLUMNS, LABEL_COLUMNS
from openpipe_report._export.parquet_table import MAX_BYTES, ParquetTable
from openpipe_report.server.store import StoredReport

NAMES = [column.name for column in (*COLUMNS, *LABEL_COLUMNS)]
GIVEN = {
    **chat(labels={"feedback": "up", "comment": "=1+1", "corrected": 'a\n"b",c', "n": 1.5}),
    "id": 7,
    "stored_at": 1_700_000_000_123.75,
    "at": 1_700_000_000_000,
    "requested_at": None,
    "duration_ms": 12.5,
    "cost": -0.25,
    "failed": False,
    "error": "@SUM(A1)",
    "prompt_tokens": 12,
    "request_model": "\u65e5\u672c \ud800\0",
}


def read_csv(*rows):
    content = b"".join(Export("csv").stream(rows)).decode("utf-8")
    return list(csv.DictReader(io.StringIO(content, newline="")))


def read_parquet(*rows):
    return parquet.read_table(pa.BufferReader(b"".join(Export("parquet").stream(rows))))


def test_columns_are_those_of_the_api():
    """A table has every column of a stored report, in the same order."""
    of_reports = [field.name for field in dataclasses.fields(StoredReport)]
    assert [column.name for column in COLUMNS] == [
        name for name in of_reports if name not in ("metadata", "report")
    ]


def test_csv():
    """A cell is a number, a time in UTC, true or false, or text; labels are JSON."""
    [found] = read_csv(GIVEN)
    assert list(found) == NAMES
    assert {name: value for name, value in found.items() if value} == {
        "id": "7",
        "stored_at": "2023-11-14T22:13:20.123Z",
        "at": "2023-11-14T22:13:20.000Z",
        "endpoint": "chat/completions",
        "duration_ms": "12.5",
        "cost": "-0.25",
        "failed": "false",
        "error": "'@SUM(A1)",
        "prompt_tokens": "12",
        "request_model": "\u65e5\u672c \\ud800\\x00",
        "feedback": "up",
        "comment": "'=1+1",
        "corrected": 'a\n"b",c',
        "metadata": json.dumps(GIVEN["metadata"]),
    }


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv_has_no_formula(begin):
    """Text that a spreadsheet would run begins with an apostrophe."""
    [found] = read_csv({**GIVEN, "error": f"{begin}cmd|' /C calc'!A0"})
    assert found["error"] == f"'{begin}cmd|' /C calc'!A0"


def test_csv_needs_no_payloads():
    """Payloads are read for a table only where prompts are compared."""
    assert not Export("csv").needs_payloads
    assert Export("csv", dedup=True).needs_payloads
    assert Export("csv", split=0.5).needs_payloads
    assert Export("parquet").needs_payloads


def test_parquet():
    """A table has typed columns, null where there is no usable value, and the whole report."""
    table = read_parquet(GIVEN, {"id": "x", "at": 10**400, "failed": 1, "metadata": []})
    assert table.schema.names == [*NAMES, "report"]
    kinds = {"id": pa.int64(), "at": pa.timestamp("ms", tz="UTC"), "cost": pa.float64()}
    assert {name: table.schema.field(name).type for name in kinds} == kinds
    first, second = table.to_pylist()
    assert first["stored_at"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=timezone.utc)
    assert (first["cost"], first["failed"], first["comment"]) == (-0.25, False, "=1+1")
    assert json.loads(first["report"]) == GIVEN["report"]
    assert json.loads(first["metadata"]) == GIVEN["metadata"]
    assert {name for name, value in second.items() if value is not None} == {"metadata"}


def test_parquet_row_groups():
    """A row group ends with its rows or its bytes."""
    large = chat(answer="x" * (MAX_BYTES // 2))
    content = b"".join(Export("parquet").stream([large, large, large]))
    assert parquet.ParquetFile(pa.BufferReader(content)).num_row_groups == 2
    few = io.BytesIO()
    table = ParquetTable(max_rows=10)
    writer = table.open(few)
    for number in range(25):
        writer.write(table.convert({"id": number})[0].value)
    writer.close()
    found = parquet.ParquetFile(pa.BufferReader(few.getvalue()))
    assert (found.num_row_groups, found.read()["id"].to_pylist()) == (3, [*range(25)])


def test_bounded_memory():
    """A table keeps one row group in memory, however many rows there are."""

    def peak(count):
        table = ParquetTable(max_rows=100)
        writer = table.open(io.BytesIO())
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            writer.write(table.convert(chat(answer=f"{number}"))[0].value)
        writer.close()
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak(300)
        assert peak(2_000) < peak(300) + 2**19
    finally:
        tracemalloc.stop()
