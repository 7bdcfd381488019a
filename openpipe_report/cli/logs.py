"""The command `logs`, which lists stored reports."""

from __future__ import annotations

from typing import Annotated

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place

DEFAULT_LIMIT = 20


@share_options(place=choose_place, where=read_conditions)
def logs(
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=0, help="Number of newest reports; 0 for all.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: one object per report, times in UTC.")
    ] = False,
    place: Place,
    where: Parameters,
) -> None:
    """
    List stored reports, the newest last.

    Tokens are shown as prompt+completion. An error message of a failed call begins with "!".
    """
    from openpipe_report.cli.formatting import (  # noqa: PLC0415 - slow to import
        make_console,
        print_reports,
        to_json_line,
    )

    with place.open() as source:
        found = source.newest(limit, where) if limit else source.oldest_first(where)
        rows = list(found)
    if as_json:
        for row in rows:
            typer.echo(to_json_line(row))
    elif rows:
        print_reports(rows, make_console())
    else:
        typer.echo(f"No reports in {place} yet.", err=True)
