"""
The tables. Everything but `raw_reports` is derived from the reports, and can be derived again.

`reports` and `raw_reports` are apart because lists and statistics read many rows of the first and
none of the second. Labels are rows, since feedback changes them later and searches start with them.
In SQLite each index ends with the id, so one on a single column also gives the newest rows first.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

DEFAULT_PROJECT = "default"
"""The project of reports that came without an API key, or with one that names no other."""

_Id = BigInteger().with_variant(Integer, "sqlite")

reports = Table(
    "reports",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False, index=True),
    Column("stored_at", Double, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("idempotency_key", Text),
    Column("requested_at", Double),
    Column("duration_ms", Double),
    Column("duration_class", BigInteger, index=True),
    Column("first_byte_ms", Double),
    Column("endpoint", Text, index=True),
    Column("request_model", Text, index=True),
    Column("response_model", Text, index=True),
    Column("completion_id", Text, index=True),
    Column("status", BigInteger, index=True),
    Column("failed", Boolean, nullable=False, index=True),
    Column("error", Text),
    Column("finish_reason", Text),
    Column("streamed", Boolean),
    Column("span_name", Text, index=True),
    Column("trace_id", Text, index=True),
    Column("span_id", Text),
    Column("parent_span_id", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("service_tier", Text),
    Column("cost", Double),
    Column("cost_class", BigInteger, index=True),
    Column("price_date", Text),
    Column("price_source", Text),
    # The key first: nothing but the look-up of a key is to use its index.
    UniqueConstraint("idempotency_key", "project", name="uq_reports_idempotency_key"),
    sqlite_autoincrement=True,
)
"""
One row a report; `StoredReport` describes the columns.

`duration_class` and `cost_class` are orders of magnitude (`values.get_class()`). They have the
indexes, because one on the values themselves is written at another place with every report.
"""

raw_reports = Table(
    "raw_reports",
    metadata,
    Column("report_id", _Id, ForeignKey("reports.id"), primary_key=True, autoincrement=False),
    Column("report", Text, nullable=False),
)
"""The whole report as ASCII JSON, which is never changed."""

labels = Table(
    "labels",
    metadata,
    Column("report_id", _Id, ForeignKey("reports.id"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("value", Text),
    Column("is_text", Boolean, nullable=False),
    Column("updated_at", Double),
    # PostgreSQL has another one instead: see `postgresql.schema`.
    Index("ix_labels_name_value", "name", "value", "report_id").ddl_if(dialect="sqlite"),
    sqlite_with_rowid=False,
)
"""
The labels of a report. `value` is the string, or the JSON text of another value (`is_text` false).

`updated_at` is the Unix time in milliseconds of a later change, null for a label of the report
itself. A label that was removed later stays as a row whose value is null.
"""

pending_updates = Table(
    "pending_updates",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("completion_id", Text, nullable=False, index=True),
    Column("filters", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)
"""Changes of labels that came before their report; JSON texts, and Unix time in milliseconds."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    sqlite_autoincrement=True,
)
"""The API keys, as `keys.ApiKey` describes them. A key itself is nowhere, only its hash."""

search_state = Table(
    "search_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("indexed_to", _Id, nullable=False),
)
"""For each kind of search index, the id of the last report that it has."""
