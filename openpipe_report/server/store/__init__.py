"""
The store of the receiver: all SQL is in this package.

    store.py       Store: adds reports and reads them back
    writer.py      the thread that commits rows for all callers
    columns.py     derives the columns that lists show from a report
    tables.py      the table, and the check that a file has it
"""

from openpipe_report.server.store.store import Store
from openpipe_report.server.store.tables import StoreError

__all__ = ["Store", "StoreError"]
