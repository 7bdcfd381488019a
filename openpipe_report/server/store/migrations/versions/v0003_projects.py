"""
Projects, whose reports are apart, and the API keys that name them.

SQLite can drop no constraint, and a key of a report is now unique in its project only. So the rows
are copied into a new table, which takes the name of the old one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INDEXED = (
    *("project", "at", "duration_class", "endpoint", "request_model", "response_model"),
    *("completion_id", "status", "failed", "span_name", "trace_id", "cost_class"),
)
_PROJECT = "default"


def upgrade() -> None:
    """Put every report into the project `default`, and create the table of keys."""
    _create_reports()
    old = sa.Table("reports", sa.MetaData(), autoload_with=op.get_bind())
    new = sa.Table("new_reports", sa.MetaData(), autoload_with=op.get_bind())
    names = old.columns.keys()
    rows = sa.select(sa.literal(_PROJECT), *(old.c[name] for name in names))
    op.execute(sa.insert(new).from_select(["project", *names], rows.order_by(old.c.id)))
    op.drop_table("reports")
    # Last: other tables that refer to the old table go on to refer to this name.
    op.rename_table("new_reports", "reports")
    for name in _INDEXED:
        op.create_index(f"ix_reports_{name}", "reports", [name])
    op.add_column(
        "pending_updates", sa.Column("project", sa.Text, nullable=False, server_default=_PROJECT)
    )
    _create_keys()


def _create_reports() -> None:
    op.create_table(
        "new_reports",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text),
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
        sa.UniqueConstraint("idempotency_key", "project", name="uq_reports_idempotency_key"),
        sqlite_autoincrement=True,
    )


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("last_used_at", sa.Double),
        sqlite_autoincrement=True,
    )
