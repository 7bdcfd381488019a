"""The stored reports that a command reads: of a database, or of a receiver elsewhere."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from openpipe_report._reading import QueryError, SourceError, display_name, open_source
from openpipe_report.cli.options import DEFAULT_DB, USAGE, Db, fail

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._reading import ReportSource

_OPTIONS = {"text": "--grep", "min_cost": "--min-cost", "min_ms": "--min-ms", "trace": "--trace"}
"""Options that have another name than the API's parameter."""
_PARAMETER = re.compile(r"^([a-z_]+)(?=: )")


class Place(NamedTuple):
    """Where the reports of a command are."""

    location: str
    """A path, the URL of a database, or that of a receiver."""
    key: str | None = None

    def __str__(self) -> str:
        """Return it as messages name it, without a password."""
        return display_name(self.location)

    @contextmanager
    def open(self) -> Generator[ReportSource, None, None]:
        """Open it; where it cannot be read, exit with 1, and after a wrong filter with 2."""
        with failing():
            source = open_source(self.location, api_key=self.key)
        with source, failing():
            yield source


def choose_place(
    context: typer.Context,
    *,
    db: Db = DEFAULT_DB,
    url: Annotated[
        str,
        typer.Option(
            envvar="OPENPIPE_REPORT_READ_URL",
            show_default=False,
            help="Read from the receiver at this URL instead of --db.",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            envvar="OPENPIPE_REPORT_READ_KEY",
            show_default=False,
            help="Key for that receiver, one that may read. Prefer the variable: other users of "
            "this machine can read a command line.",
        ),
    ] = "",
) -> Place:
    """Return where to read; what is given on the command line wins over the variables."""
    given = {name for name in ("db", "url") if _is_argument(context, name)}
    if given == {"db", "url"}:
        raise typer.BadParameter("give --db or --url, not both")
    if url and "db" not in given:
        return Place(url, key.strip() or None)
    return Place(db)


@contextmanager
def failing() -> Generator[None, None, None]:
    """Exit with one line of error if a source cannot be read."""
    try:
        yield
    except QueryError as error:
        fail(_PARAMETER.sub(_option, str(error)), USAGE)
    except SourceError as error:
        fail(str(error))


def _option(found: re.Match[str]) -> str:
    return _OPTIONS.get(found[1], f"--{found[1]}")


def _is_argument(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
