"""The routes that change labels of stored reports, in process through ASGI."""

from __future__ import annotations

import json

import httpx
import pytest
from dirty_equals import IsStr

from openpipe_report.server.app import create_app
from openpipe_report.server.limits import Limits
from openpipe_report.server.store import Store

METADATA = "/api/v1/logs/update-metadata"
TAGS = "/api/v1/logs/update-tags"
JSON = {"Content-Type": "application/json"}
REPORTS = [
    {
        "reqPayload": {"model": "asked", "metadata": {"user": "ada", "n": 1, "a.b": "c"}},
        "respPayload": {"id": "id-1", "model": "answered"},
        "tags": {"flag": True, "ratio": 1.5},
    },
    {
        "reqPayload": {"model": "asked", "metadata": {"user": "bob", "n": 2}},
        "respPayload": {"id": "id-2" + "x" * 300},
    },
]


@pytest.fixture
def store(tmp_path):
    """A store with two reports, with the ids 1 and 2."""
    with Store(tmp_path / "reports.db") as opened:
        for report in REPORTS:
            opened.add(report).result()
        yield opened


async def post(store, path, content, **limits):
    app = create_app(store, limits=Limits(**limits))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        body = content if isinstance(content, bytes) else json.dumps(content)
        answer = await http.post(path, content=body, headers=JSON)
    app.close()
    return answer


def labels(store, report_id):
    return store.queries.get_report(report_id).metadata


@pytest.mark.parametrize("path, field", [(METADATA, "metadata"), (TAGS, "tags")])
@pytest.mark.parametrize(
    "filters, matching",
    [
        pytest.param([], [1, 2], id="no filter"),
        pytest.param([("model", "asked")], [1, 2], id="model of the request"),
        pytest.param([("model", "answered")], [1], id="model of the answer"),
        pytest.param([("completionId", "id-1")], [1], id="completion"),
        pytest.param([("completionId", "id-2" + "x" * 300)], [2], id="completion, 304 characters"),
        pytest.param([("metadata.user", "bob")], [2], id="label"),
        pytest.param([("tags.user", "ada")], [1], id="label by the old name"),
        pytest.param([("metadata.a.b", "c")], [1], id="name with a dot"),
        pytest.param([("metadata.n", 2)], [2], id="number"),
        pytest.param([("metadata.n", "2")], [2], id="number as string"),
        pytest.param([("metadata.ratio", 1.5)], [1], id="fraction"),
        pytest.param([("metadata.flag", True)], [1], id="boolean"),
        pytest.param([("metadata.flag", "true")], [1], id="boolean as string"),
        pytest.param([("metadata.user", "ada"), ("metadata.n", 1)], [1], id="both hold"),
        pytest.param([("metadata.user", "ada"), ("metadata.n", 2)], [], id="one holds"),
        pytest.param([("metadata.user", "eve")], [], id="none holds"),
        pytest.param([("metadata.\ud800\0", "\ud800")], [], id="surrogate and NUL"),
    ],
)
async def test_filters(store, path, field, filters, matching):
    """All filters must hold; values are compared as strings; no filter matches all."""
    wanted = [{"field": name, "equals": value} for name, value in filters]
    answer = await post(store, path, {"filters": wanted, field: {"score": "5"}})
    assert (answer.status_code, answer.json()) == (200, {"matchedLogs": len(matching)})
    assert [one for one in (1, 2) if labels(store, one).get("score") == "5"] == matching


@pytest.mark.parametrize(
    "path, changes, expected",
    [
        pytest.param(METADATA, {"x": "1"}, {"x": "1"}, id="new label"),
        pytest.param(METADATA, {"user": "eve"}, {"user": "eve"}, id="other value"),
        pytest.param(METADATA, {"user": None}, {"user": None}, id="null removes"),
        pytest.param(METADATA, {"missing": None}, {}, id="null of a missing name"),
        pytest.param(METADATA, {}, {}, id="no change"),
        pytest.param(METADATA, {"\ud800\0": "\0"}, {"\\ud800\\x00": "\\x00"}, id="surrogate, NUL"),
        pytest.param(METADATA, {"y" * 300: ""}, {"y" * 200: ""}, id="long name"),
        pytest.param(METADATA, {"corrected": "\u00e9\n" * 50_000}, None, id="100,000 characters"),
        pytest.param(TAGS, {"corrected": "y" * 200_000}, None, id="tag of 200,000 characters"),
        pytest.param(TAGS, {"x": 1, "y": False}, {"x": "1", "y": "false"}, id="tags"),
        pytest.param(TAGS, {"user": None, "n": "7"}, {"user": None, "n": "7"}, id="null tag"),
    ],
)
async def test_changes(store, path, changes, expected):
    """A string sets a label, null removes it; the report as it was posted stays unchanged."""
    field = "tags" if path == TAGS else "metadata"
    before = labels(store, 1)
    one = [{"field": "completionId", "equals": "id-1"}]
    answer = await post(store, path, {"filters": one, field: changes})
    assert answer.json() == {"matchedLogs": 1}
    merged = {**before, **(changes if expected is None else expected)}
    assert labels(store, 1) == {name: v for name, v in merged.items() if v is not None}
    assert store.report(1) == REPORTS[0]


async def test_before_its_report(store):
    """Feedback that comes before its report is applied when the report comes."""
    change = {"filters": [{"field": "completionId", "equals": "x"}], "metadata": {"score": "5"}}
    assert (await post(store, METADATA, change)).json() == {"matchedLogs": 0}
    report = b'{"respPayload": {"id": "x"}}'
    assert (await post(store, "/api/v1/report", report)).status_code == 200
    assert labels(store, 3) == {"score": "5"}


FIELD = "must be model, completionId, metadata.NAME or tags.NAME"
EQUALS = "must be a string, a finite number or a boolean"
FILTER = 'must be {"field": ..., "equals": ...} and have no other field'
FILTERS = "must be an array of at most 100"
NAMES = "must be an object of at most 100 names"
VALUE = "must be a string of at most 200,000 characters, or null"
TAG = (
    "must be a string, a finite number, a boolean or null; a string has at most 200,000 characters"
)
MODEL = {"field": "model", "equals": "m"}
UNKNOWN = "unknown field; the change of metadata has filters, metadata"


@pytest.mark.parametrize(
    "change, issues",
    [
        pytest.param({}, ["filters: is missing", "metadata: is missing"], id="empty"),
        pytest.param({"metadata": {}}, ["filters: is missing"], id="no filters"),
        pytest.param({"filters": None, "metadata": {}}, [f"filters: {FILTERS}"], id="null"),
        pytest.param({"filters": {}, "metadata": {}}, [f"filters: {FILTERS}"], id="object"),
        pytest.param(
            {"filters": [MODEL] * 101, "metadata": {}}, [f"filters: {FILTERS}"], id="101 filters"
        ),
        pytest.param(
            {"filters": [], "metadata": {str(n): "" for n in range(101)}},
            [f"metadata: {NAMES}"],
            id="101 names",
        ),
        pytest.param(
            {"filters": [MODEL, {"field": "model"}, "secret"], "metadata": {}},
            ["filters[1].equals: is missing", f"filters[2]: {FILTER}"],
            id="incomplete filters",
        ),
        pytest.param(
            {"filters": [{**MODEL, "secret": 1}], "metadata": {}},
            [f"filters[0]: {FILTER}"],
            id="more in a filter",
        ),
        pytest.param(
            {"filters": [{"field": "secret", "equals": None}], "metadata": []},
            [f"filters[0].equals: {EQUALS}", f"filters[0].field: {FIELD}", f"metadata: {NAMES}"],
            id="all wrong",
        ),
        pytest.param(
            {"filters": [{"field": "metadata.", "equals": [1]}], "metadata": {}},
            [f"filters[0].equals: {EQUALS}", f"filters[0].field: {FIELD}"],
            id="no name",
        ),
        pytest.param(
            {"filters": [], "metadata": {"a": 1, "b": True, "c": {"secret": 1}}},
            [f"metadata.a: {VALUE}", f"metadata.b: {VALUE}", f"metadata.c: {VALUE}"],
            id="values",
        ),
        pytest.param(
            {"filters": [], "metadata": {"corrected": "x" * 200_001}},
            [f"metadata.corrected: {VALUE}"],
            id="too long",
        ),
        pytest.param(
            {"filters": [], "metadata": {}, "tags": "secret", "\ud800": 1},
            [f"tags: {UNKNOWN}", f"\ud800: {UNKNOWN}"],
            id="unknown fields",
        ),
    ],
)
async def test_refuses(store, change, issues):
    """A wrong change is answered 400 with each wrong place, and changes nothing."""
    answer = await post(store, METADATA, change)
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "The body is not a valid change of metadata",
        "code": "BAD_REQUEST",
        "issues": [{"message": one} for one in issues],
    }
    assert [labels(store, 1), labels(store, 2)] == [
        {"user": "ada", "n": 1, "a.b": "c", "flag": True, "ratio": 1.5},
        {"user": "bob", "n": 2},
    ]


async def test_refuses_tags(store):
    """The deprecated twin wants `tags`, with the values that a report's tags may have."""
    tags = {"a": [], "b": "x" * 200_001}
    answer = await post(store, TAGS, {"filters": [], "metadata": {}, "tags": tags})
    assert [one["message"] for one in answer.json()["issues"]] == [
        "metadata: unknown field; the change of tags has filters, tags",
        f"tags.a: {TAG}",
        f"tags.b: {TAG}",
    ]


@pytest.mark.parametrize(
    "content, limits, status",
    [
        pytest.param(b'{"filters": [', {}, 400, id="not JSON"),
        pytest.param(b"[]", {}, 400, id="no object"),
        pytest.param(b"{}" + b" " * 99, {"max_body_bytes": 100}, 413, id="too large"),
        pytest.param(b'{"filters": [[],[],[],[]]}', {"max_nodes": 5}, 413, id="too many values"),
        pytest.param(b"{}" + b" " * 99, {"max_bytes_in_flight": 100}, 503, id="no room"),
    ],
)
async def test_limits(store, content, limits, status):
    """The limits of a report's body hold, with errors in the API's shape."""
    answer = await post(store, METADATA, content, **limits)
    assert answer.status_code == status
    assert answer.json() == {"message": IsStr, "code": IsStr, "issues": [{"message": IsStr}]}


@pytest.mark.parametrize("path, field", [(METADATA, "metadata"), (TAGS, "tags")])
async def test_large_body(store, path, field):
    """A large body is parsed in another process, with the same result."""
    change = {"filters": [], field: {"long": "x" * 900}}
    answer = await post(store, path, change, large_body_bytes=100)
    assert answer.json() == {"matchedLogs": 2}
    assert labels(store, 2)["long"] == "x" * 900
    assert (await post(store, path, {field: {}}, large_body_bytes=5)).status_code == 400
