"""The command `reprice`, which computes all costs again."""

from __future__ import annotations

import typer

from openpipe_report.cli.options import DEFAULT_DB, Db, Prices, fail
from openpipe_report.cli.stores import open_to_write


def reprice(*, db: Db = DEFAULT_DB, prices: Prices = None) -> None:
    """
    Compute the cost of every stored report again.

    After a change of the file of your own prices, or an upgrade of the package genai-prices.
    """
    with open_to_write(db, prices) as store:
        from openpipe_report.server.store import StoreError  # noqa: PLC0415 - slow to import

        try:
            changed = store.reprice().result()
        except StoreError as error:
            fail(str(error))
    typer.echo(f"Changed the cost of {changed} report(s).")
