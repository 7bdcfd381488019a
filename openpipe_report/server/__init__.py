"""
The receiver: `POST /api/v1/report` into SQLite. Needs the extra `server`.

    schema.py      the table, and which files may be opened
    columns.py     report -> the columns that lists show
    writer.py      one thread that commits, many callers that wait
    store.py       Store: add reports, read them back
    validation.py  request body -> report, or why not
    app.py         create_app(): the HTTP side
    http.py        a socket, a server, a clean end

Nothing of the core imports this package, and importing it imports none of the above.
"""
