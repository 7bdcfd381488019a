"""Changes of labels after the fact, as feedback makes them."""

from __future__ import annotations

import sqlite3

import pytest

from openpipe_report.server.store import Filter, Store
from openpipe_report.server.store.sqlite import make_engine
from openpipe_report.server.store.updates import KEPT_FOR, change_matching


def report(number, **labels):
    return {
        "reqPayload": {"model": "asked", "metadata": {"n": number, **labels}},
        "respPayload": {"id": f"id-{number}", "model": f"answered-{number % 2}"},
    }


@pytest.fixture
def filled(store):
    """A store with four reports; their number is that of the id."""
    for number in range(1, 5):
        store.add(report(number, user="ada", flag=number == 1)).result()
    return store


@pytest.mark.parametrize(
    "filters, matching",
    [
        pytest.param([], [1, 2, 3, 4], id="everything"),
        pytest.param([("completionId", "id-2")], [2], id="completion"),
        pytest.param([("model", "asked")], [1, 2, 3, 4], id="model of the request"),
        pytest.param([("model", "answered-1")], [1, 3], id="model of the answer"),
        pytest.param([("metadata.n", 3)], [3], id="number"),
        pytest.param([("metadata.n", "3")], [3], id="number as string"),
        pytest.param([("tags.flag", True)], [1], id="boolean"),
        pytest.param([("tags.flag", "false")], [2, 3, 4], id="boolean as string"),
        pytest.param([("metadata.user", "ada"), ("model", "answered-0")], [2, 4], id="both"),
        pytest.param([("reportId", 2)], [2], id="report"),
        pytest.param([("reportId", 9)], [], id="no such report"),
        pytest.param([("metadata.user", "bob")], [], id="none"),
        pytest.param([("metadata.a.b", "c")], [], id="name with a dot"),
    ],
)
def test_filters(filled, filters, matching):
    """All filters must hold, values are compared as strings, and no filter matches all."""
    wanted = [{"field": name, "equals": value} for name, value in filters]
    assert filled.update_metadata(wanted, {"score": "5"}).result() == len(matching)
    found = filled.queries.iterate(Filter(metadata=(("score", 5),)))
    assert [row.id for row in found] == matching


def test_changes(filled):
    """A label is set, replaced or removed; the report as it was posted stays as it is."""
    changes = {"score": "5", "user": "bob", "n": None, "missing": None}
    filled.update_metadata([{"field": "completionId", "equals": "id-1"}], changes).result()
    row = filled.queries.get_report(1)
    assert row.metadata == {"score": "5", "user": "bob", "flag": True}
    assert row.report == report(1, user="ada", flag=True)
    assert filled.queries.count(Filter(metadata=(("user", "ada"),))) == 3
    assert filled.queries.stats(Filter(metadata=(("n", 1),)))[0].calls == 0


def test_order_of_labels(filled):
    """Labels are in the order of their names, also those that were set later."""
    filled.update_metadata([], {"b": "1", "zz": "2"}).result()
    assert [list(row.metadata) for row in filled.recent()] == [["b", "flag", "n", "user", "zz"]] * 4


def test_long_value(filled):
    """A long value, such as a corrected answer, is kept whole, for many reports too."""
    corrected = "a corrected answer, " * 10_000
    assert filled.update_metadata([], {"corrected": corrected}).result() == 4
    assert [row.metadata["corrected"] for row in filled.recent()] == [corrected] * 4


def test_unknown_field(store):
    """A filter by another field is an error."""
    for field in ("id", "metadata", "metadata.", "labels.a", ""):
        with pytest.raises(ValueError, match="completionId"):
            store.update_metadata([{"field": field, "equals": "x"}], {})


def test_comes_before_its_report(source):
    """Feedback that comes before its report is applied when that comes, after a restart too."""
    wanted = [{"field": "completionId", "equals": "id-7"}, {"field": "model", "equals": "asked"}]
    with Store(source) as store:
        assert store.update_metadata(wanted, {"score": "1", "old": "x"}).result() == 0
        assert store.update_metadata(wanted, {"score": "2", "n": None}).result() == 0
    with Store(source) as store:
        store.add(report(8)).result()
        store.add(report(7)).result()
        store.add(report(7)).result()
        labels = [row.metadata for row in store.recent()]
    assert labels == [{"n": 8}, {"score": "2", "old": "x"}, {"n": 7}]


def test_expires(path):
    """Feedback waits for an hour."""
    with Store(path) as store:
        store.update_metadata([{"field": "completionId", "equals": "id-7"}], {"a": "b"}).result()
    with sqlite3.connect(path) as other:
        query = "UPDATE pending_updates SET expires_at = expires_at - ?"
        other.execute(query, (KEPT_FOR * 1_000,))
    other.close()
    with Store(path) as store:
        store.add(report(7)).result()
        assert store.recent()[0].metadata == {"n": 7}


def test_waits_for_a_completion_only(source):
    """A change that names no completion is not kept."""
    with Store(source) as store:
        store.update_metadata([{"field": "metadata.n", "equals": 7}], {"a": "b"}).result()
        store.add(report(7)).result()
        assert store.recent()[0].metadata == {"n": 7}


def test_in_steps(source):
    """A change of many reports is whole at the end, also if the store is closed meanwhile."""
    with Store(source) as store:
        for number in range(4_500):
            store.add(report(number))
        changed = store.update_metadata([], {"score": "1"})
        store.add(report(4_500))
    assert changed.result() == 4_500
    with Store(source, read_only=True) as store:
        assert store.queries.count(Filter(metadata=(("score", "1"),))) == 4_500
        assert store.count() == 4_501


@pytest.mark.parametrize("names, steps", [(1, 1), (100, 2), (3_000, 30), (0, 1)])
def test_size_of_a_step(path, names, steps):
    """A step changes 2,000 labels, be they of many reports or of few, so that reports can wait."""
    with Store(path) as store:
        for number in range(30):
            store.add(report(number))
    changes = {str(number): "x" for number in range(names)}
    engine = make_engine(path, read_only=False)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        assert len(list(change_matching(connection, "default", [], changes, 0.0))) == steps
    engine.dispose()


def test_cancelled(store):
    """A change that its caller has cancelled, as an aborted request does, stops nothing else."""
    for number in range(20):
        changed = store.update_metadata([], {"score": str(number)})
        changed.cancel()
    store.add(report(1)).result()
    assert store.update_metadata([], {"score": "9"}).result() == 1
    assert store.recent()[0].metadata == {"n": 1, "score": "9"}
