"""
The receiver: stores the reports of `POST /api/v1/report` in SQLite. Needs the extra `server`.

    store/           Store: adds reports and reads them back; all SQL is there

    limits.py        Limits: sizes, counts and times that requests may have
    errors.py        ApiError: every error in the API's shape
    traffic.py       counts of answers, refusals and connections
    validation.py    parses a request body and names its faults
    nodes.py         counts the values of a body without parsing it
    browsers.py      refuses what a page of another site makes a browser send
    bodies.py        reads bodies within the limits
    large_bodies.py  parses large bodies in another process
    commits.py       lets coroutines wait for commits
    intake.py        the way of a body into the store
    times.py         reads a time, or an age
    parameters.py    the query parameters
    conditions.py    reads parameters into a filter
    query_string.py  reads the query string of a request
    access.py        Access: what a sender may do, and in which project
    authentication.py  tells from its key who sends a request
    call.py          Call: one request, as a route gets it
    openapi/         the description of the API
    routes/          the routes, one concern a module
    keeping.py       erases old reports in the background
    app.py           create_app(): the checks and the routes as an ASGI app

    connection.py    one connection, with deadlines
    accepting.py     accepts connections up to a bound
    refusal_log.py   logs refused requests
    seldom_log.py    logs failures that repeat
    http.py          the listening socket and the server on it

The core never imports this package. Importing the package imports none of its modules.
"""
