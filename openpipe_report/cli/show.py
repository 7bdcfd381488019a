"""The command `show`, which prints one report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.options import fail
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place

if TYPE_CHECKING:
    from openpipe_report._reading import Row


@share_options(place=choose_place, where=read_conditions)
def show(
    report_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID | COMPLETION_ID",
            show_default=False,
            help="The report's id, from `logs`, or the completion id that the answer has.",
        ),
    ] = None,
    *,
    last: Annotated[
        bool, typer.Option("--last", help="The newest report, or the newest that matches.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as it was posted; in a pipe as ASCII.")
    ] = False,
    place: Place,
    where: Parameters,
) -> None:
    """
    Print one report as a conversation: what was asked and answered, tools, images, errors.

    The filters go with --last.
    """
    if (report_id is None) is not last or report_id == "":
        raise typer.BadParameter("give an id, a completion id or --last")
    if where and not last:
        raise typer.BadParameter("filters go with --last")
    row = _read(place, report_id, where)
    from openpipe_report.cli.console import make_console  # noqa: PLC0415 - slow to import

    if as_json:
        from openpipe_report.cli.json_output import print_json  # noqa: PLC0415

        print_json(row["report"], make_console())
        return
    from openpipe_report.cli.conversation import print_conversation  # noqa: PLC0415

    print_conversation(row, make_console())


def _read(place: Place, report_id: str | None, where: Parameters) -> Row:
    with place.open() as source:
        if report_id is not None:
            row = source.get(report_id)
        else:
            row = next(source.newest(1, where, payloads=True), None)
    if row is None and report_id is None:
        fail(f"no report in {place}{' matches' if where else ' yet'}")
    if row is None:
        fail(f"no report {report_id} in {place}: `openpipe-report logs` lists them")
    return row
