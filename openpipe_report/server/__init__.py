"""
The receiver: `POST /api/v1/report` into SQLite. Needs the extra `server`.

    schema.py    the table, and which files may be opened
    summary.py   report -> the columns that lists show
    writer.py    one thread that commits, many callers that wait
    store.py     Store: add reports, read them back
    body.py      request body -> report, or why not
    app.py       create_app(): the HTTP side
    serving.py   a socket, a server, a clean end
    listing.py   stored reports for a terminal
    commands.py  the command line
    upkeep.py    its commands resend and doctor
    resending.py what is in a spool -> the server
    diagnosis.py the settings in force, and what is wrong

Nothing of the core imports this package, and importing it imports none of the above.
"""
