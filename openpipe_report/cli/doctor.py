"""The command `doctor`, which prints the findings of `diagnosis`."""

from __future__ import annotations

from typing import Annotated

import typer

from openpipe_report.cli.options import ApiKey, BaseUrl, read_settings_with


def doctor(
    *,
    send: Annotated[bool, typer.Option("--send", help="Post one test report.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """
    Show the settings in force with their sources, and name every problem.

    Exits with 0 only if reporting is on, every OPENPIPE_ variable is known and valid, the spool, if
    there is one, can be used, and, with --send, the server accepted the test report.
    """
    from openpipe_report.cli import diagnosis  # noqa: PLC0415 - slow to import

    typer.echo(diagnosis.versions())
    settings, problems = read_settings_with(base_url=base_url, api_key=api_key)
    given = {"base_url": base_url, "api_key": api_key}
    rows = diagnosis.describe_settings(settings, given)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        typer.echo(f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    for problem in problems:
        typer.echo(f"Problem: {problem}")
    if any(problem.turns_off for problem in problems):
        typer.echo("Reporting is off until this is corrected.")
        raise typer.Exit(1)
    if reason := diagnosis.why_off(settings):
        typer.echo(f"Reporting is off: {reason}")
        raise typer.Exit(1)
    typer.echo(f"Reporting is on, to {settings.report_url}")
    if proxy := diagnosis.proxy_in_use(settings):
        typer.echo(f"through the proxy {proxy}, which the environment names.")
    spool_failed = False
    if settings.spool is not None:
        from openpipe_report.cli.spool_report import examine_spool  # noqa: PLC0415 - as above

        lines, spool_failed = examine_spool(settings)
        for line in lines:
            typer.echo(line)
    if not send:
        typer.echo("Nothing was sent; --send posts a test report.")
    elif failure := diagnosis.send_test(settings):
        typer.echo(f"The test report was not delivered: {failure}")
        raise typer.Exit(1)
    else:
        typer.echo("The server accepted the test report.")
    if problems or spool_failed:
        raise typer.Exit(1)
