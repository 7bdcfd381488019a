"""What a program reads is the same from a database and from a receiver."""

from __future__ import annotations

import tracemalloc
from itertools import islice

import pytest

from openpipe_report._reading import QueryError, SourceError, open_source
from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

COUNT = 1_205
ALL = range(1, COUNT + 1)


def ids(rows):
    return [row["id"] for row in rows]


WHERE = [
    pytest.param({}, lambda number: True, id="all"),
    pytest.param({"status": "5xx"}, lambda number: number % 3 == 0, id="status"),
    pytest.param({"error": "false"}, lambda number: number % 3, id="error"),
    pytest.param({"metadata.user": "u3"}, lambda number: number % 7 == 3, id="label"),
    pytest.param(
        {"text": "word2", "error": "true"},
        lambda number: number % 5 == 2 and number % 3 == 0,
        id="text",
    ),
    pytest.param(
        {"since": "1700000300000", "until": "1700000600000"},
        lambda number: 300 <= number < 600,
        id="time",
    ),
    pytest.param({"model": "none"}, lambda number: False, id="nothing"),
    pytest.param({"text": "\ud800"}, lambda number: False, id="surrogate"),
    pytest.param({"metadata.\ud800": "\udfff\0"}, lambda number: False, id="surrogates of a label"),
]


@pytest.mark.parametrize("where, matches", WHERE)
def test_iterations(source, where, matches):
    """All reports that match come in either order, and are counted."""
    expected = list(filter(matches, ALL))
    assert ids(source.oldest_first(where)) == expected
    assert ids(source.newest_first(where)) == expected[::-1]
    assert ids(source.oldest_first(where, after_id=600)) == [one for one in expected if one > 600]
    assert ids(source.newest(25, where)) == expected[-25:]
    assert ids(source.newest(5_000, where)) == expected
    assert ids(source.newest(0, where)) == []
    assert source.count(where) == len(expected)


def test_tail(source):
    """A tail has the reports that came after one, the oldest first."""
    assert ids(source.tail(0, limit=3)) == [1, 2, 3]
    assert ids(source.tail(COUNT - 2)) == [COUNT - 1, COUNT]
    assert source.tail(COUNT) == []
    assert ids(source.tail(10, {"error": "true"}, limit=2)) == [12, 15]
    assert source.newest_id() == COUNT


def test_rows_are_the_same(stored, receiver):
    """A row has the same columns, labels and payloads from both."""
    with open_source(stored) as local, open_source(receiver) as remote:
        for payloads in (False, True):
            [one] = islice(local.newest_first(payloads=payloads), 1)
            [other] = islice(remote.newest_first(payloads=payloads), 1)
            assert one == other
            assert ("report" in one) is payloads
        assert local.get("7") == remote.get("7")
        assert local.stats(by="model", bucket="hour") == remote.stats(by="model", bucket="hour")
        assert local.trace("t3") == remote.trace("t3")


def test_get(source):
    """A report is found by its id and by its completion id, which may have a slash in it."""
    assert source.get("12")["report"]["reqPayload"]["metadata"]["n"] == 12
    assert source.get("chat/12")["id"] == 12
    for missing in ("0", "9999", "chat/9999", "-1", "\ud800", "x" * 500):
        assert source.get(missing) is None


def test_trace(source):
    """A trace has its reports by time; an unknown one has none."""
    assert ids(source.trace("t3")) == list(range(30, 40))
    assert source.trace("none") == []


def test_stats(source):
    """Statistics are by group and by time bucket."""
    [whole] = source.stats({"error": "true"})
    assert (whole["calls"], whole["errors"], whole["p50_ms"]) == (401, 401, 100.0)
    groups = source.stats(by="metadata.user")
    assert [row["group"] for row in groups] == [f"u{number}" for number in range(7)]
    assert sum(row["calls"] for row in source.stats(bucket="minute")) == COUNT


@pytest.mark.parametrize(
    "where, message",
    [
        ({"since": "yesterday"}, "since: must be Unix milliseconds"),
        ({"status": "many"}, "status: must be a status such as 429"),
        ({"colour": "red"}, "colour: unknown parameter"),
        ({"limit": "5"}, "limit: "),
    ],
)
def test_wrong_filter(source, where, message):
    """A wrong filter is named before anything is read."""
    for read in (
        lambda: next(source.newest_first(where)),
        lambda: next(source.oldest_first(where)),
        lambda: next(source.newest(5, where)),
        lambda: source.tail(0, where),
        lambda: source.stats(where),
        lambda: source.count(where),
    ):
        with pytest.raises(QueryError, match=message):
            read()


@pytest.mark.parametrize("grouping", [{"by": "colour"}, {"bucket": "year"}])
def test_wrong_grouping(source, grouping):
    """A wrong group or time bucket is named."""
    with pytest.raises(QueryError, match=f"{next(iter(grouping))}: must be"):
        source.stats(**grouping)


def test_too_many_groups(source, monkeypatch):
    """More groups than an answer may have is an error of the query."""
    monkeypatch.setattr("openpipe_report.server.store.statistics.MAX_GROUPS", 10)
    with pytest.raises(QueryError, match="more than 10 groups"):
        source.stats(by="trace_id")


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("kind", ["local", "remote"])
def test_large_payloads(tmp_path, kind, newest_first):
    """A hundred large reports are never in memory together."""
    size, count = 2**20, 100
    with Store(tmp_path / "large.db") as store:
        for number in range(count):
            store.add({"reqPayload": {"n": number, "text": "x" * size}}).result()
        with serving(create_app(store)) as url:
            location = url if kind == "remote" else tmp_path / "large.db"
            with open_source(location) as source:
                tracemalloc.start()
                iterate = source.newest_first if newest_first else source.oldest_first
                numbers = [row["report"]["reqPayload"]["n"] for row in iterate(payloads=True)]
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
    assert (
        sorted(numbers, reverse=newest_first) == numbers == sorted(range(count), key=numbers.index)
    )
    # Over HTTP a page of 32 MiB is in memory three times: here the receiver is in this process.
    assert peak < (50 if kind == "local" else 250) * 2**20 < 3 * size * count


def test_missing_database(tmp_path):
    """A database that is not there is named, and not created."""
    with pytest.raises(SourceError, match="there is no database at"):
        open_source(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_damaged_database(tmp_path):
    """A database that cannot be read any more is an error that names it."""
    path = tmp_path / "reports.db"
    with Store(path) as store:
        for number in range(500):
            store.add({"reqPayload": {"text": "x" * 2_000, "n": number}}).result()
    with open_source(path) as source:
        content = bytearray(path.read_bytes())
        content[8_192:] = b"\xff" * (len(content) - 8_192)
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"cannot read .*reports\.db"):
            list(source.newest_first(payloads=True))
