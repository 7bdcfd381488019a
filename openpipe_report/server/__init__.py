"""
The receiver: stores the reports of `POST /api/v1/report` in SQLite. Needs the extra `server`.

    store/         Store: adds reports and reads them back; all SQL is there
    validation.py  parses a request body and names its faults
    app.py         create_app(): the HTTP API
    http.py        the listening socket and the server on it

The core never imports this package. Importing the package imports none of its modules.
"""
