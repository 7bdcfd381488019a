"""Runs Alembic's migrations on a connection of ours, inside the transaction that it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy import Connection

_MIGRATIONS = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database says it has, such as `0002`."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import

    return MigrationContext.configure(connection).get_current_revision()


def stamp(connection: Connection, revision: str = "head") -> None:
    """Note the revision of a database whose tables are there already."""
    from alembic import command  # noqa: PLC0415 - slow to import

    command.stamp(_config(connection, None), revision)


def upgrade(connection: Connection, progress: Callable[[int, int], None] | None) -> None:
    """Run the migrations from the revision of the database to the newest."""
    from alembic import command  # noqa: PLC0415 - slow to import

    command.upgrade(_config(connection, progress), "head")


def _config(connection: Connection, progress: Callable[[int, int], None] | None) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - slow to import

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, progress=progress)
    return config
