"""The statistics of charts, by time and group."""

from __future__ import annotations

import pytest

from openpipe_report.server.charts.links import condition_of_group, conditions_of_time
from openpipe_report.server.charts.timeline import MAX_GROUPS, MAX_TIMES, read_timeline
from openpipe_report.server.store import Filter

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST = 19_500 * DAY
ALL = Filter()


def test_of_nothing(store):
    """Where nothing matches there is no timeline."""
    assert read_timeline(store.queries, ALL, "model") is None


@pytest.mark.parametrize(
    "span, bucket, count",
    [
        (0, "minute", 1),
        (2 * MINUTE, "minute", 3),
        (3 * HOUR, "minute", 181),
        (3 * HOUR + MINUTE, "hour", 4),
        (4 * DAY, "hour", 97),
        (5 * DAY, "day", 6),
    ],
)
def test_bucket(store, add, span, bucket, count):
    """The time buckets suit the time of the reports; those without a report are there too."""
    add(FIRST)
    add(FIRST + span)
    found = read_timeline(store.queries, ALL, None)
    assert (found.bucket, len(found.times), found.is_cut) == (bucket, count, False)
    assert found.times[0] == FIRST
    [group] = found.groups
    assert [point.calls if point else 0 for point in group.points] == (
        [2] if count == 1 else [1, *[0] * (count - 2), 1]
    )
    assert (group.total.calls, group.title, group.value) == (2, "all", None)


def test_long_time(store, add):
    """Of a long time the last days are shown, and the groups are of the same reports."""
    add(FIRST, "old")
    add(FIRST + 1_000 * DAY, "new")
    found = read_timeline(store.queries, ALL, "model")
    assert (found.bucket, len(found.times), found.is_cut) == ("day", MAX_TIMES, True)
    assert found.times[-1] == FIRST + 1_000 * DAY
    assert [group.title for group in found.groups] == ["new"]


def test_groups(store, add):
    """Groups with most calls come first, and those beyond the first few are one."""
    for number in range(MAX_GROUPS + 3):
        for _ in range(number + 1):
            add(FIRST + number * MINUTE, f"m{number}", tokens=number)
    found = read_timeline(store.queries, ALL, "model")
    *named, others = found.groups
    assert [group.title for group in named] == [f"m{9 - place}" for place in range(MAX_GROUPS)]
    assert (others.title, others.is_others, others.value) == ("3 others", True, None)
    assert (others.total.calls, others.total.total_tokens) == (6, 2 * 2 + 3 * 3 + 1)
    assert [point.calls if point else 0 for point in others.points] == [1, 2, 3, *[0] * 7]
    assert (others.total.p50_ms, others.total.cost, others.total.cached_tokens) == (
        None,
        None,
        None,
    )


def test_one_more_group(store, add):
    """No group is called "others" alone."""
    for number in range(MAX_GROUPS + 1):
        add(FIRST, f"m{number}")
    found = read_timeline(store.queries, ALL, "model")
    assert not any(group.is_others for group in found.groups)
    assert len(found.groups) == MAX_GROUPS + 1


def test_filter(store, add):
    """A timeline is of the reports that match."""
    add(FIRST, user="u1")
    add(FIRST + DAY, user="u2")
    found = read_timeline(store.queries, Filter(metadata=(("user", "u1"),)), "metadata.user")
    assert [(group.title, group.total.calls) for group in found.groups] == [("u1", 1)]
    assert found.times == [FIRST]


@pytest.mark.parametrize(
    "by, condition",
    [
        ("model", ("model", "m")),
        ("metadata.user", ("metadata.user", "u1")),
        ("status", ("status", "500")),
        ("failed", ("error", "true")),
        ("endpoint", ("endpoint", "chat/completions")),
        ("finish_reason", None),
        ("metadata.other", None),
        (None, None),
    ],
)
def test_links(store, by, condition):
    """A group's condition finds the calls that the group counts; a missing value has none."""
    report = {
        "requestedAt": FIRST,
        "statusCode": 500,
        "reqPayload": {"model": "m", "messages": [], "metadata": {"user": "u1"}},
        "respPayload": {"choices": [{"finish_reason": "stop"}]},
    }
    store.add(report).result()
    [group] = read_timeline(store.queries, ALL, by).groups
    assert condition_of_group(by, group) == condition


def test_link_of_time(store, add):
    """A time bucket's conditions are its begin and its end."""
    add(FIRST + 5)
    found = read_timeline(store.queries, ALL, None)
    assert conditions_of_time(found, found.times[0]) == (
        ("since", str(FIRST)),
        ("until", str(FIRST + MINUTE)),
    )
