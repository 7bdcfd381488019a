"""Computes the costs of stored reports again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from openpipe_report.server.store.inserting import change_prices
from openpipe_report.server.store.pricing import Price, Pricer
from openpipe_report.server.store.tables import reports

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Connection

_STEP = 2_000
_NEEDED = (
    *("id", "at", "request_model", "response_model", "service_tier", "prompt_tokens"),
    *("completion_tokens", "cached_tokens", "cache_write_tokens"),
    *Price._fields,
)


def reprice_in_steps(connection: Connection, pricer: Pricer) -> Generator[None, None, int]:
    """Price every report again, a transaction of the caller's a step; return how many differ."""
    changed, last = 0, 0
    columns = [reports.c[name] for name in _NEEDED]
    query = select(*columns).order_by(reports.c.id).limit(_STEP)
    while found := connection.execute(query.where(reports.c.id > last)).mappings().all():
        rows = [{str(name): row[name] for name in row} for row in found]
        prices = {row["id"]: pricer.price(row) for row in rows}
        differing = {
            row["id"]: prices[row["id"]]
            for row in rows
            if prices[row["id"]] != (row["cost"], row["price_date"], row["price_source"])
        }
        change_prices(connection, differing)
        changed += len(differing)
        last = rows[-1]["id"]
        yield
    return changed
