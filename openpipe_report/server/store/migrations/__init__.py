"""The steps between the versions of the schema, for Alembic; `migrating` runs them."""
