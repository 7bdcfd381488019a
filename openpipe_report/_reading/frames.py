"""Reports as a table of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from openpipe_report._export.columns import COLUMNS, read_values

if TYPE_CHECKING:
    from openpipe_report._reading.source import Row

_TYPES = {
    "integer": "Int64",
    "real": "float64",
    "boolean": "boolean",
    "text": "object",
    "time": "datetime64[ns, UTC]",
}


def make_frame(rows: list[Row], *, payloads: bool) -> pd.DataFrame:
    """Return a table with the columns of the API, a column for each label, and the reports."""
    values = [read_values(row) for row in rows]
    columns: dict[str, Any] = {
        column.name: pd.Series([one[column.name] for one in values], dtype=_TYPES[column.kind])
        for column in COLUMNS
    }
    for name in dict.fromkeys(name for row in rows for name in row["metadata"]):
        found = [row["metadata"].get(name) for row in rows]
        columns[f"metadata.{name}"] = pd.Series(found, dtype="object")
    if payloads:
        columns["report"] = pd.Series([row.get("report") for row in rows], dtype="object")
    return pd.DataFrame(columns)
