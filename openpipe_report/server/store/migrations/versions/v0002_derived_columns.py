"""
Payloads and labels in tables of their own, more columns, and search.

Everything but id, key and time of arrival is derived again from the reports.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from openpipe_report.server.store.refilling import refill

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INDEXED = (
    *("at", "duration_class", "endpoint", "request_model", "response_model", "completion_id"),
    *("status", "failed", "span_name", "trace_id", "cost_class"),
)


def upgrade() -> None:
    """Create the tables, fill them from the old one, and drop that."""
    connection = op.get_bind()
    op.rename_table("reports", "old_reports")
    _create_reports()
    _create_others()
    refill(connection, context.config.attributes.get("progress"))
    op.drop_table("old_reports")


def _create_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text, unique=True),
        sa.Column("requested_at", sa.Double),
        sa.Column("duration_ms", sa.Double),
        sa.Column("duration_class", sa.BigInteger),
        sa.Column("first_byte_ms", sa.Double),
        sa.Column("endpoint", sa.Text),
        sa.Column("request_model", sa.Text),
        sa.Column("response_model", sa.Text),
        sa.Column("completion_id", sa.Text),
        sa.Column("status", sa.BigInteger),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("streamed", sa.Boolean),
        sa.Column("span_name", sa.Text),
        sa.Column("trace_id", sa.Text),
        sa.Column("span_id", sa.Text),
        sa.Column("parent_span_id", sa.Text),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("total_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("service_tier", sa.Text),
        sa.Column("cost", sa.Double),
        sa.Column("cost_class", sa.BigInteger),
        sa.Column("price_date", sa.Text),
        sa.Column("price_source", sa.Text),
        sqlite_autoincrement=True,
    )
    for name in _INDEXED:
        op.create_index(f"ix_reports_{name}", "reports", [name])


def _create_others() -> None:
    op.create_table(
        "raw_reports",
        sa.Column("report_id", _ID, sa.ForeignKey("reports.id"), primary_key=True),
        sa.Column("report", sa.Text, nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("report_id", _ID, sa.ForeignKey("reports.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text),
        sa.Column("is_text", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_labels_name_value", "labels", ["name", "value", "report_id"])
    op.create_table(
        "pending_updates",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("completion_id", sa.Text, nullable=False, index=True),
        sa.Column("filters", sa.Text, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "search_state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("indexed_to", _ID, nullable=False),
    )
