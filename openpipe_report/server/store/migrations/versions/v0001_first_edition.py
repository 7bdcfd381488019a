"""The table of the first edition, which had its payloads and labels in one row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("stored_at", sa.Float, nullable=False),
        sa.Column("idempotency_key", sa.String, unique=True),
        sa.Column("requested_at", sa.Float),
        sa.Column("duration_ms", sa.Float),
        sa.Column("endpoint", sa.String),
        sa.Column("model", sa.String),
        sa.Column("status", sa.Integer),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("total_tokens", sa.Integer),
        sa.Column("error", sa.String),
        sa.Column("metadata_json", sa.Text),
        sa.Column("report", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
