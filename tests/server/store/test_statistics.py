"""Statistics: sums and percentiles by time and by column or label."""

from __future__ import annotations

import pytest

from openpipe_report.server.store import Filter
from openpipe_report.server.store.statistics import Statistics

HOUR = 3_600_000
FIRST = 470_000 * HOUR


def add(store, at, model, duration, status=200, tokens=10, **labels):
    store.add(
        {
            "requestedAt": at,
            "receivedAt": at + duration,
            "statusCode": status,
            "reqPayload": {"model": model, "metadata": labels},
            "respPayload": {
                "usage": {
                    "prompt_tokens": tokens,
                    "completion_tokens": 1,
                    "prompt_tokens_details": {"cached_tokens": 2},
                }
            },
            "tags": {"$time_to_first_byte_ms": duration / 2},
        }
    ).result()


def test_of_everything(store):
    """Without grouping there is one entry; percentiles are values that were measured."""
    for number in range(1, 101):
        add(store, FIRST, "m", number, status=500 if number <= 3 else 200)
    [found] = store.queries.stats()
    assert found == Statistics(
        bucket=None,
        group=None,
        calls=100,
        errors=3,
        prompt_tokens=1_000,
        completion_tokens=100,
        total_tokens=1_100,
        cached_tokens=200,
        reasoning_tokens=None,
        cost=None,
        unpriced=100,
        p50_ms=50.0,
        p95_ms=95.0,
        p50_first_byte_ms=25.0,
        p95_first_byte_ms=47.5,
    )


def test_of_nothing(store):
    """Where nothing matches, the one entry has no calls, and groups have no entries."""
    [found] = store.queries.stats(Filter(model="none"))
    assert (found.calls, found.errors, found.cost, found.p50_ms) == (0, 0, None, None)
    assert store.queries.stats(by="model") == []


def test_by_bucket_and_model(store):
    """Entries are by time bucket, then by group."""
    add(store, FIRST + 5, "b", 10)
    add(store, FIRST + HOUR - 1, "a", 20)
    add(store, FIRST + HOUR, "a", 30, status=429)
    found = store.queries.stats(by="model", bucket="hour")
    assert [(one.bucket, one.group, one.calls, one.errors, one.p95_ms) for one in found] == [
        (FIRST, "a", 1, 0, 20.0),
        (FIRST, "b", 1, 0, 10.0),
        (FIRST + HOUR, "a", 1, 1, 30.0),
    ]


def test_by_label(store):
    """A label groups too; reports without it are a group of their own."""
    add(store, FIRST, "m", 1, team="red")
    add(store, FIRST, "m", 1, team="red")
    add(store, FIRST, "m", 1)
    found = store.queries.stats(by="metadata.team")
    assert {one.group: one.calls for one in found} == {None: 1, "red": 2}


def test_error_rate_per_model(store):
    """A failed call counts for the model that was asked for, though no model has answered."""
    store.add({"statusCode": 500, "reqPayload": {"model": "asked"}}).result()
    store.add(
        {"statusCode": 200, "reqPayload": {"model": "asked"}, "respPayload": {"model": "asked-1"}}
    ).result()
    [found] = store.queries.stats(by="request_model")
    assert (found.group, found.calls, found.errors) == ("asked", 2, 1)


@pytest.mark.parametrize("options", [{"by": "id"}, {"by": "metadata."}, {"bucket": "week"}])
def test_unknown(store, options):
    """A column or time bucket that is not known is an error."""
    with pytest.raises(ValueError, match="not"):
        store.queries.stats(**options)


def test_absurd_tokens(store):
    """Token counts whose sum is beyond 64 bits leave the statistics of all reports usable."""
    for _ in range(3):
        add(store, FIRST, "m", 1, tokens=2**62)
    [found] = store.queries.stats()
    assert (found.calls, found.prompt_tokens, found.completion_tokens) == (3, 3 * 2**62, 3)
