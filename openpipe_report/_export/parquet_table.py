"""
The format `parquet`: typed columns, the labels, and the whole report as JSON text.

It needs pyarrow (the extra `parquet`). A row group is written when there are enough rows or bytes,
so that memory does not grow with the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._export.columns import COLUMNS, LABEL_COLUMNS, read_values
from openpipe_report._export.formats import Item
from openpipe_report._export.inputs import RowInput
from openpipe_report._export.writing import encode_text

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.writing import Sink, Writer

MAX_ROWS = 10_000
"""Most rows of a row group."""
MAX_BYTES = 32 * 2**20
"""Bytes of the texts after which a row group ends."""


class ParquetTable:
    """A table with types."""

    def __init__(self, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes

    def convert(self, row: Row) -> list[Item]:
        """Return the values of a row."""
        return [Item({**read_values(row), "report": _encode_report(row)}, RowInput(row))]

    def finish(self) -> None:
        """Do nothing: no row is kept."""

    def open(self, sink: Sink) -> Writer:
        """
        Return the writer of a file.

        Raises:
            ModuleNotFoundError: pyarrow is not installed.

        """
        return _ParquetWriter(sink, self._max_rows, self._max_bytes)


class _ParquetWriter:
    def __init__(self, sink: Sink, max_rows: int, max_bytes: int) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415

        kinds = {
            "integer": pa.int64(),
            "real": pa.float64(),
            "boolean": pa.bool_(),
            "text": pa.string(),
            "time": pa.timestamp("ms", tz="UTC"),
        }
        columns = [(one.name, kinds[one.kind]) for one in (*COLUMNS, *LABEL_COLUMNS)]
        self._schema = pa.schema([*columns, ("report", pa.string())])
        self._make_batch = pa.RecordBatch.from_pylist
        self._file = pa.PythonFile(_Unclosable(sink), mode="w")
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._max_rows, self._max_bytes = max_rows, max_bytes

    def write(self, value: dict[str, Any]) -> None:
        self._rows.append(value)
        self._bytes += len(value["report"] or "") + len(value["metadata"])
        if len(self._rows) >= self._max_rows or self._bytes >= self._max_bytes:
            self._write_group()

    def close(self) -> None:
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_batch(self._make_batch(self._rows, schema=self._schema))
        self._rows.clear()
        self._bytes = 0


class _Unclosable:
    """Gives pyarrow a file that it can neither seek nor close, such as a pipe."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._at = 0

    def write(self, content: bytes) -> int:
        self._sink.write(bytes(content))
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _encode_report(row: Row) -> str | None:
    report = row.get("report")
    return None if report is None else encode_text(report)
