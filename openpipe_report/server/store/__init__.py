"""
The store of the receiver: all SQL is in this package.

    store           Store: adds reports, changes labels, closes the file
    queries         lists, single reports, traces, counts
    statistics      sums and percentiles
    filters         Filter, and where the query of one starts
    rows            StoredReport: one report as lists show it
    errors          what can go wrong
    preparing       a report to the rows that are stored of it, by
                    columns, endpoints, labels, search_text, values
    pricing         what a call cost
    writer          the thread that writes, with inserting, updates, repricing
    search_index    the search index, with search_tokens; index_keeper fills it
    tables          the tables
    migrating       creates and upgrades a file, with migrations/ and refilling
    sqlite          what is SQLite's own: the file, its engine, transactions

It is written for SQLite. Another database needs its own `sqlite` and `search_index`, and the
`on_conflict` inserts of its dialect.
"""

from openpipe_report.server.store.errors import (
    IdempotencyConflictError,
    StoreError,
    StoreUnavailableError,
)
from openpipe_report.server.store.filters import Filter
from openpipe_report.server.store.preparing import PreparedReport, prepare_report
from openpipe_report.server.store.queries import Page
from openpipe_report.server.store.rows import StoredReport
from openpipe_report.server.store.store import Store
from openpipe_report.server.store.updates import UpdateFilter

__all__ = [
    "Filter",
    "IdempotencyConflictError",
    "Page",
    "PreparedReport",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "StoredReport",
    "UpdateFilter",
    "prepare_report",
]
