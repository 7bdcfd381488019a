"""The command `show`, which prints one report."""

from __future__ import annotations

from typing import Annotated

import typer

from openpipe_report.cli.options import fail
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place


@share_options(place=choose_place)
def show(
    report_id: Annotated[
        str, typer.Argument(metavar="ID", help="The report's id, from `logs`, or completion id.")
    ],
    *,
    place: Place,
) -> None:
    """Print one report as JSON; to a pipe or file as ASCII."""
    from openpipe_report.cli.formatting import make_console, print_json  # noqa: PLC0415

    with place.open() as source:
        row = source.get(report_id)
    if row is None:
        fail(f"no report {report_id} in {place}: `openpipe-report logs` lists them")
    print_json(row["report"], make_console())
