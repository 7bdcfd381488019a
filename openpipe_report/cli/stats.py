"""The command `stats`, which counts stored reports and sums them up."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place


@share_options(place=choose_place, where=read_conditions)
def stats(
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            show_default=False,
            help="One line for each model, request_model, response_model, endpoint, status, "
            "failed, finish_reason, streamed, span_name, trace_id, service_tier, error, project "
            "or metadata.NAME.",
        ),
    ] = None,
    bucket: Annotated[
        Literal["minute", "hour", "day"] | None,
        typer.Option(show_default=False, help="One line for each; days begin in UTC."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, as the API has them.")
    ] = False,
    place: Place,
    where: Parameters,
) -> None:
    """
    Count calls, errors, tokens and costs, with the median and the 95th percentile of durations.

    On a terminal with bars of the calls, those that failed in red. Times are local times.
    """
    from openpipe_report.cli.progress import spinner  # noqa: PLC0415 - slow to import

    with place.open() as source, spinner("Reading"):
        rows = source.stats(where, by=by, bucket=bucket)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    if not any(row["calls"] for row in rows):
        typer.echo(f"No reports in {place}{' that match' if where else ' yet'}.", err=True)
        return
    from openpipe_report.cli.console import make_console  # noqa: PLC0415 - slow to import
    from openpipe_report.cli.stats_table import print_stats  # noqa: PLC0415

    print_stats(rows, make_console(), by=by, bucket=bucket)
