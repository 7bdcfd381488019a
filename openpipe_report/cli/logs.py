"""The command `logs`, which lists stored reports."""

from __future__ import annotations

import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openpipe_report._reading import ReportSource, Row

    Print = Callable[[Row], object]
    """Prints one report."""

DEFAULT_LIMIT = 20

_LONG = 1_000
"""Reports from which on a listing shows how far it is."""


@share_options(place=choose_place, where=read_conditions)
def logs(
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=0, help="Number of newest reports; 0 for all.")
    ] = DEFAULT_LIMIT,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with new reports, until Ctrl-C.")
    ] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="Print the whole trace of each report as a tree.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Print costs, in US dollars.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON lines: one object per report, `time` in UTC."),
    ] = False,
    place: Place,
    where: Parameters,
) -> None:
    """
    List stored reports, the newest last, with local times.

    Tokens are shown as prompt+completion. An error message of a failed call begins with "!".
    """
    if tree and (follow or as_json):
        raise typer.BadParameter("goes with neither --follow nor --json", param_hint="--tree")
    from openpipe_report.cli.report_table import SIZED_BY  # noqa: PLC0415 - slow to import

    with place.open() as source:
        last = source.newest_id() if follow else 0
        rows = _list(source, where, limit)
        first = list(islice(rows, SIZED_BY))
        if not first and not follow:
            typer.echo(f"No reports in {place}{' that match' if where else ' yet'}.", err=True)
            return
        show = _make_print(source, first, tree=tree, cost=cost, as_json=as_json)
        for row in chain(first, rows):
            show(row)
            last = max(last, row["id"])
        if follow:
            _follow(source, where, last, show)


def _list(source: ReportSource, where: Parameters, limit: int) -> Iterator[Row]:
    rows = source.newest(limit, where) if limit else source.oldest_first(where)
    if 0 < limit < _LONG:
        return rows
    from openpipe_report.cli.progress import track  # noqa: PLC0415 - slow to import

    def count() -> int:
        return min(source.count(where), limit or sys.maxsize)

    return track(rows, "Listing", count)


def _make_print(
    source: ReportSource, first: Sequence[Row], *, tree: bool, cost: bool, as_json: bool
) -> Print:
    if as_json:
        from openpipe_report.cli.json_output import to_json_line  # noqa: PLC0415 - slow to import

        return lambda row: sys.stdout.write(f"{to_json_line(row)}\n")
    from openpipe_report.cli.console import make_console  # noqa: PLC0415 - slow to import

    console = make_console()
    if tree:
        from openpipe_report.cli.trace_tree import TracePrinter  # noqa: PLC0415

        return TracePrinter(source, console, with_cost=cost).print
    from openpipe_report.cli.report_table import ReportTable  # noqa: PLC0415

    return ReportTable(console, first, with_cost=cost).print


def _follow(source: ReportSource, where: Parameters, last: int, show: Print) -> None:
    from openpipe_report.cli.following import follow  # noqa: PLC0415 - seldom needed

    sys.stdout.flush()
    for rows in follow(source, where, last, lambda text: typer.echo(text, err=True)):
        for row in rows:
            show(row)
        sys.stdout.flush()
