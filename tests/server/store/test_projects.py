"""Projects: reports, keys, labels and waiting changes of one are nothing to another."""

from __future__ import annotations

import pytest

from openpipe_report.server.store import Filter, IdempotencyConflictError, Store
from openpipe_report.server.store import filters as filters_module

PROJECTS = ("a", "b")


def report(project, number=1):
    return {
        "reqPayload": {
            "model": "m",
            "messages": [{"role": "user", "content": f"word of {project}"}],
            "metadata": {"of": project, "n": number},
        },
        "respPayload": {"id": "same-id"},
        "tags": {"$trace_id": "same-trace"},
    }


@pytest.fixture
def both(store):
    """A store with a report of each project: same completion id, trace and key."""
    for project in PROJECTS:
        store.add(report(project), idempotency_key="k", project=project).result()
    store.start()
    while store.queries.unindexed():
        pass
    return store


@pytest.mark.parametrize("project, own, other", [("a", 1, 2), ("b", 2, 1)])
def test_queries(both, project, own, other):
    """Each query of a project finds its reports and no others."""
    queries = both.queries.of_project(project)
    assert [row.id for row in queries.list_reports().rows] == [own]
    assert [row.id for row in queries.iterate()] == [own]
    assert [row.id for row in queries.tail(0)] == [own]
    assert [row.id for row in queries.get_trace("same-trace")] == [own]
    assert queries.get_report("same-id").id == own
    assert queries.get_report(own).project == project
    assert queries.get_report(other) is None
    assert queries.get_report(str(other)) is None
    assert queries.get_json(own) is not None
    assert queries.get_json(other) is None
    assert queries.newest_id() == own
    assert queries.count() == queries.stats()[0].calls == 1
    for found in (Filter(text="word"), Filter(trace="same-trace"), Filter(model="m"), Filter()):
        assert [row.id for row in queries.iterate(found)] == [own]
        assert queries.count(found) == queries.stats(found)[0].calls == 1
    assert [one.group for one in queries.stats(by="metadata.of")] == [project]
    assert queries.count(Filter(metadata=(("of", PROJECTS[other - 1]),))) == 0
    assert queries.count(Filter(project=project)) == 1
    assert queries.count(Filter(project=PROJECTS[other - 1])) == 0
    assert queries.list_reports(Filter(project=PROJECTS[other - 1])).rows == []


def test_all_projects(both):
    """Without a project all reports are found, and a filter chooses those of one."""
    assert [row.project for row in both.queries.iterate()] == ["a", "b"]
    assert [row.id for row in both.queries.iterate(Filter(project="b"))] == [2]
    assert both.queries.count(Filter(project="c")) == 0


def test_statistics(both):
    """Projects are counted one by one; of a project that is asked for there is one group."""
    counted = both.queries.stats(by="project")
    assert {one.group: one.calls for one in counted} == {"a": 1, "b": 1}
    assert [one.group for one in both.queries.of_project("a").stats(by="project")] == ["a"]


def test_keys(store):
    """An idempotency key is unique in its project, also in one batch."""
    added = [
        (project, store.add(report("x"), idempotency_key="k", project=project))
        for project in ("a", "b", "a", "b")
    ]
    for _, one in added:
        one.result()
    assert [row.project for row in store.recent()] == ["a", "b"]
    with pytest.raises(IdempotencyConflictError):
        store.add({}, idempotency_key="k", project="a").result()
    store.add({}, idempotency_key="k", project="c").result()
    assert store.count() == 3


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [{"field": "completionId", "equals": "same-id"}],
        [{"field": "model", "equals": "m"}],
        [{"field": "metadata.n", "equals": 1}],
    ],
)
def test_updates(both, filters):
    """A change of labels changes those of its project."""
    assert both.update_metadata(filters, {"score": "1"}, project="a").result() == 1
    assert [row.metadata.get("score") for row in both.recent()] == ["1", None]
    assert both.update_metadata(filters, {"score": "1"}, project="c").result() == 0


def test_waiting_changes(store):
    """A change waits for a report of its own project."""
    wanted = [{"field": "completionId", "equals": "same-id"}]
    assert store.update_metadata(wanted, {"score": "1"}, project="a").result() == 0
    store.add(report("b"), project="b").result()
    store.add(report("a"), project="a").result()
    assert [row.metadata.get("score") for row in store.recent()] == [None, "1"]


def test_waiting_changes_are_bounded_by_project(store, monkeypatch):
    """A project with too many changes that wait loses its own oldest, and no other's."""
    monkeypatch.setattr("openpipe_report.server.store.updates.MAX_PENDING", 3)
    for project, numbers in (("a", [0]), ("b", range(5))):
        for number in numbers:
            wanted = [{"field": "completionId", "equals": f"id-{number}"}]
            store.update_metadata(wanted, {"score": "1"}, project=project).result()
    for project in PROJECTS:
        for number in range(5):
            store.add({"respPayload": {"id": f"id-{number}"}}, project=project).result()
    kept = [(row.project, row.completion_id) for row in store.recent() if row.metadata]
    assert kept == [("a", "id-0"), ("b", "id-2"), ("b", "id-3"), ("b", "id-4")]


def test_start_of_query(path, monkeypatch):
    """Of two common conditions a list starts from the one with fewer reports of late."""
    monkeypatch.setattr(filters_module, "_COUNTED", 5)
    monkeypatch.setattr(filters_module, "_FEW", 2)
    with Store(path) as store:
        for number in range(40):
            store.add(report("x", number), project="old" if number < 10 else "new").result()
        for project, expected in (("old", range(10)), ("new", range(10, 40))):
            rows = store.queries.of_project(project).iterate(Filter(model="m"))
            assert [row.metadata["n"] for row in rows] == list(expected)
