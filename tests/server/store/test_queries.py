"""Lists, single reports, traces, counts: every filter, alone and with others."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpipe_report.server.store import Filter, Store

DAY = 86_400_000
FIRST = 1_700_000_000_000
MODELS = ("small", "large")
REPORTS = [
    {
        "requestedAt": FIRST + number * 1_000,
        "receivedAt": FIRST + number * 1_000 + number * 10,
        "statusCode": (200, 200, 429, 500)[number % 4],
        "reqPayload": {
            "model": MODELS[number % 2],
            "messages": [{"role": "user", "content": f"word{number % 3} every"}],
            "metadata": {"user": f"u{number % 5}", "n": number, "even": number % 2 == 0},
        },
        "respPayload": {"id": f"id-{number}", "model": f"{MODELS[number % 2]}-{number % 6}"},
        "tags": {
            "$endpoint": ("chat/completions", "responses")[number % 2],
            "$trace_id": f"t{number // 10}",
        },
    }
    for number in range(60)
]


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def full(request, tmp_path_factory):
    """A store with 60 reports, opened to read; the id of a report is its number and one."""
    source = tmp_path_factory.mktemp("store") / "reports.db"
    if request.param == "PostgreSQL":
        source = request.getfixturevalue("make_postgresql")()
    with Store(source) as store:
        for number, report in enumerate(REPORTS):
            store.add(report, idempotency_key=f"k{number}")
    with Store(source, read_only=True) as store:
        yield store


def matches(number, wanted):
    """Whether a report matches, told without a database."""
    report = REPORTS[number]
    labels = {"user": f"u{number % 5}", "n": str(number), "even": ("true", "false")[number % 2]}
    at, status = report["requestedAt"], report["statusCode"]
    first = None if wanted.status is None else int(str(wanted.status)[0])
    return (
        (wanted.since is None or at >= wanted.since)
        and (wanted.until is None or at < wanted.until)
        and (
            wanted.model is None
            or wanted.model in (report["reqPayload"]["model"], report["respPayload"]["model"])
        )
        and (wanted.endpoint is None or report["tags"]["$endpoint"] == wanted.endpoint)
        and (
            wanted.status is None
            or (
                status // 100 == first
                if "xx" in str(wanted.status).lower()
                else status == int(wanted.status)
            )
        )
        and (wanted.error is None or (status >= 400) == wanted.error)
        and all(
            labels.get(name) == (str(value).lower() if isinstance(value, bool) else str(value))
            for name, value in wanted.metadata
        )
        and (wanted.trace is None or report["tags"]["$trace_id"] == wanted.trace)
        and (wanted.text is None or wanted.text in report["reqPayload"]["messages"][0]["content"])
        and wanted.min_cost is None
        and (wanted.min_ms is None or number * 10 >= wanted.min_ms)
    )


FILTERS = st.builds(
    Filter,
    since=st.none() | st.integers(FIRST - 1, FIRST + 70_000),
    until=st.none() | st.integers(FIRST - 1, FIRST + 70_000),
    model=st.none() | st.sampled_from(["small", "large", "large-3", "none"]),
    endpoint=st.none() | st.sampled_from(["chat/completions", "responses", "none"]),
    status=st.none() | st.sampled_from([200, "429", "5xx", "2xx", "4XX"]),
    error=st.none() | st.booleans(),
    metadata=st.lists(
        st.sampled_from(
            [("user", "u1"), ("user", "u2"), ("n", 7), ("n", "7"), ("even", True), ("x", "")]
        ),
        max_size=2,
    ).map(tuple),
    trace=st.none() | st.sampled_from(["t0", "t3", "none"]),
    text=st.none() | st.sampled_from(["every", "word1", "none"]),
    min_cost=st.none() | st.just(0.5),
    min_ms=st.none() | st.sampled_from([0, 100, 590, 600]),
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=FILTERS, limit=st.integers(1, 70))
def test_every_filter(full, wanted, limit):
    """Lists, exports, tails and counts have exactly the reports for which all conditions hold."""
    expected = [number + 1 for number in range(60) if matches(number, wanted)]
    listed, after = [], None
    while True:
        page = full.queries.list_reports(wanted, limit=limit, after=after)
        listed += [row.id for row in page.rows]
        if (after := page.next_cursor) is None:
            break
    assert listed == expected[::-1]
    assert [row.id for row in full.queries.iterate(wanted)] == expected
    assert [row.id for row in full.queries.tail(20, wanted)] == [
        one for one in expected if one > 20
    ]
    assert full.queries.count(wanted) == len(expected)
    assert full.queries.stats(wanted)[0].calls == len(expected)


def test_rows(full):
    """A row has columns and labels; the report itself only if payloads are asked for."""
    [row] = full.queries.list_reports(limit=1).rows
    assert (row.id, row.idempotency_key, row.model) == (60, "k59", "large-5")
    assert row.metadata == {"user": "u4", "n": 59, "even": False}
    assert "report" not in row.to_dict()
    [row] = full.queries.list_reports(limit=1, payloads=True).rows
    assert row.to_dict()["report"] == REPORTS[59]


def test_many_pages_of_an_export(source):
    """An export has each report once, of all its pages, and those that come meanwhile."""
    with Store(source) as store:
        for number in range(450):
            store.add({"statusCode": number})
        store.add({}).result()
        found = []
        for row in store.queries.iterate():
            if row.id == 1:
                store.add({"statusCode": 9_999}).result()
            found.append(row.status)
    assert found == [*range(450), None, 9_999]


@pytest.mark.parametrize("wanted", [3, "3", "id-2"])
def test_one_report(full, wanted):
    """A report is found by its id, and by the id of its completion."""
    row = full.queries.get_report(wanted)
    assert (row.id, row.report) == (3, REPORTS[2])


@pytest.mark.parametrize("wanted", [0, -1, 61, 10**30, "", "id-60", "\u0663", str(10**30)])
def test_no_such_report(full, wanted):
    """An id that no report has gives None."""
    assert full.queries.get_report(wanted) is None


def test_trace(full):
    """A trace has its reports in the order in which they began."""
    assert [row.id for row in full.queries.get_trace("t2")] == list(range(21, 31))
    assert full.queries.get_trace("none") == []


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "\u0663", str(10**30)])
def test_bad_cursor(full, cursor):
    """A cursor that no page has given is an error."""
    with pytest.raises(ValueError, match="after"):
        full.queries.list_reports(after=cursor)


@pytest.mark.parametrize("status", ["x", "5x", "0xx", "", "-1"])
def test_bad_status(status):
    """A status that is neither a number nor a class is an error."""
    with pytest.raises(ValueError, match="5xx"):
        Filter(status=status)


def test_newest_id(full, source):
    """`newest_id` is where a tail begins; an empty store has 0."""
    assert full.queries.newest_id() == 60
    with Store(source) as store:
        assert store.queries.newest_id() == 0
