"""Runs the migrations on the connection that `migrating` has opened, inside its transaction."""

from alembic import context

from openpipe_report.server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
