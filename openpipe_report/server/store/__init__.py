"""
The store of the receiver: all SQL is in this package.

    store           Store: adds reports, changes labels, closes the database
    queries         lists, single reports, traces, counts; by selecting and loading
    statistics      sums and percentiles
    filters         Filter, and where the query of one starts
    rows            StoredReport: one report as lists show it; Page
    errors          what can go wrong
    preparing       a report to the rows that are stored of it, by
                    columns, endpoints, labels, search_text, values
    pricing         what a call cost
    copying         copies one store into another
    writer          the thread that writes, with inserting, updates, repricing
    search_index    the search index, with search_tokens; index_keeper fills it
    keys            API keys: made, listed, revoked
    erasing         erases reports, with wiping of what they leave
    backing_up      copies a database that is in use
    tables          the tables
    revisions       runs Alembic on migrations/, with refilling
    database        Database: what the store needs of a kind of database
    databases       the database that a path or URL names
    dialects        what the two spell differently in one query
    sqlite          what is SQLite's own: the file, its engine, transactions; with
                    sqlite_database, and migrating, which creates and upgrades a file
    postgresql/     what is PostgreSQL's own
"""

from openpipe_report.server.store.errors import (
    IdempotencyConflictError,
    StoreError,
    StoreUnavailableError,
)
from openpipe_report.server.store.filters import Filter
from openpipe_report.server.store.preparing import PreparedReport, prepare_report
from openpipe_report.server.store.rows import Page, StoredReport
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
