"""
The receiver: stores the reports of `POST /api/v1/report` in SQLite. Needs the extra `server`.

    schema.py      the table, and the check that a file has it
    columns.py     derives the columns that lists show from a report
    writer.py      the thread that commits rows for all callers
    store.py       Store: adds reports and reads them back
    validation.py  parses a request body and names its faults
    app.py         create_app(): the HTTP API
    http.py        the listening socket and the server on it

The core never imports this package. Importing the package imports none of its modules.
"""
