"""The copy of a store into another database."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from openpipe_report.server.store import Filter, IdempotencyConflictError, Store, StoreError

COUNT = 1_234


def make_report(number):
    return {
        "requestedAt": 1_700_000_000_000 + number,
        "statusCode": 200,
        "errorMessage": "\ud800\0" if number == 7 else None,
        "reqPayload": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"needle n{number}"}],
            "metadata": {"n": number, "user": "ada"},
        },
        "respPayload": {"id": f"id-{number}", "usage": {"prompt_tokens": 10}},
    }


def fill(store, numbers):
    for added in [
        store.add(make_report(number), idempotency_key=f"k{number}", project=f"p{number % 2}")
        for number in numbers
    ]:
        added.result()


@pytest.fixture(params=["SQLite to PostgreSQL", "PostgreSQL to SQLite", "SQLite to SQLite"])
def both(request, tmp_path, make_postgresql):
    """Where to copy from and to."""
    return [
        tmp_path / f"{place}.db" if kind == "SQLite" else make_postgresql()
        for place, kind in zip(("from", "to"), request.param.split(" to "), strict=True)
    ]


@pytest.fixture
def filled(both):
    """A store with reports, a changed and a removed label, an API key, and a waiting change."""
    with Store(both[0]) as store:
        fill(store, range(COUNT))
        changed = [{"field": "metadata.n", "equals": 3}]
        store.update_metadata(changed, {"score": "5", "user": None}, project="p1").result()
        store.update_metadata(
            [{"field": "completionId", "equals": "id-later"}], {"score": "9"}, project="p0"
        ).result()
        store.keys.create("one", project="p0", scope="read")
    return both


def copy(both, **options):
    with Store(both[0], read_only=True) as source, Store(both[1]) as target:
        return target.copy_from(source, **options)


def content(location):
    with Store(location, read_only=True) as store:
        rows = [asdict(row) for row in store.queries.iterate(payloads=True)]
        return rows, store.keys.all()


def test_copies_everything(filled):
    """Ids, keys, projects, labels with their changes, costs and API keys are the same."""
    told = []
    assert copy(filled, progress=lambda *progress: told.append(progress)) == COUNT
    assert told[-1] == (COUNT, COUNT)
    assert content(filled[1]) == content(filled[0])
    with Store(filled[1]) as store:
        assert store.queries.unindexed() == 0
        assert store.queries.count(Filter(text="needle n77")) == 1
        assert store.queries.count(Filter(metadata=(("score", 5),))) == 1
        fill(store, [0, 1, COUNT])
        assert store.queries.newest_id() == COUNT + 1
        with pytest.raises(IdempotencyConflictError):
            store.add({}, idempotency_key="k4", project="p0").result()
        store.add({"respPayload": {"id": "id-later"}}, project="p0").result()
        assert store.recent(1)[0].metadata == {"score": "9"}
        row, _ = store.keys.create("two", project="p0", scope="read")
        assert row.id == 2


def test_goes_on(filled):
    """A copy that was interrupted goes on after the last report that is there."""

    def interrupt(done, total):
        if done >= 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(filled, progress=interrupt)
    with Store(filled[1], read_only=True) as store:
        assert 500 <= store.count() < COUNT
    with Store(filled[0]) as store:
        fill(store, [COUNT])
        of_first = [{"field": "metadata.n", "equals": 0}]
        store.update_metadata(of_first, {"score": "7"}, project="p0").result()
    assert 0 < copy(filled) <= COUNT + 1 - 500
    assert content(filled[1]) == content(filled[0])
    assert copy(filled) == 0
    assert content(filled[1]) == content(filled[0])


def test_does_not_mix(filled):
    """A store that holds something else is refused, and left unchanged."""
    with Store(filled[1]) as store:
        store.add({"statusCode": 1}).result()
    before = content(filled[1])
    with pytest.raises(StoreError, match=r"holds reports that .* does not.*empty database"):
        copy(filled)
    assert content(filled[1]) == before


def test_erased_meanwhile(filled):
    """What was erased after a run stays erased: the next one says what to do."""
    copy(filled)
    with Store(filled[0]) as store:
        store.erase(Filter(project="p0"))
    with pytest.raises(StoreError, match=r"or has erased them .*copy to an empty database"):
        copy(filled)


def test_does_not_mix_keys(filled):
    """API keys of the target are not lost."""
    with Store(filled[1]) as store:
        store.keys.create("other", project="p0", scope="read")
    with pytest.raises(StoreError, match="holds API keys"):
        copy(filled)


def test_to_read(both):
    """Nothing is copied into a store that is opened to read."""
    for location in both:
        Store(location).close()
    with (
        Store(both[0], read_only=True) as source,
        Store(both[1], read_only=True) as target,
        pytest.raises(StoreError, match="read only"),
    ):
        target.copy_from(source)
