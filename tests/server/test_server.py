"""The receiver's HTTP side, in process through ASGI."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from dirty_equals import IsStr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.limits import Limits
from openpipe_report.server.store import Store

PATH = "/api/v1/report"
OK = {"status": "ok"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


def client(store: Store, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(store, **options))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def post(store: Store, content: Any, headers: dict[str, Any] | None = None, **options: Any):
    async with client(store, **options) as http:
        return await http.post(PATH, content=content, headers={**JSON, **(headers or {})})


def error(code: str, *issues: Any) -> dict[str, Any]:
    return {"message": IsStr, "code": code, "issues": [{"message": issue} for issue in issues]}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{}", id="empty object"),
        pytest.param(b' \n{"statusCode": 200}\r\n', id="white space around"),
        pytest.param(b'{"requestedAt": 1, "receivedAt": 1.5}', id="integer and fraction"),
        pytest.param(b'{"requestedAt": -1e300}', id="time out of all range"),
        pytest.param(b'{"reqPayload": null, "respPayload": null}', id="null payloads"),
        pytest.param(b'{"reqPayload": "text", "respPayload": [1]}', id="payloads of any type"),
        pytest.param(b'{"tags": {"a": "b", "c": 1, "d": 1.5, "e": true, "f": null}}', id="tags"),
        pytest.param(b'{"errorMessage": "\\ud800 \\u0000"}', id="surrogate and NUL in a message"),
        pytest.param(b'{"tags": {"\\ud800": "\\udfff", "\\u0000": ""}}', id="surrogate in a tag"),
        pytest.param(b'{"statusCode": ' + b"9" * 4000 + b"}", id="4,000 digits as status"),
        pytest.param(b'{"reqPayload": [' + b"9" * 4000 + b"]}", id="4,000 digits in a payload"),
        pytest.param(b'{"reqPayload": ' + b"[" * 499 + b"]" * 499 + b"}", id="500 levels deep"),
        pytest.param('{"reqPayload": "\u65e5\U0001f600"}'.encode(), id="UTF-8"),
        pytest.param(b'{"statusCode": 1, "statusCode": 200}', id="a name twice: the last counts"),
        pytest.param(b'{"respPayload": {"usage": 3, "model": {}}}', id="usage of another type"),
        pytest.param(b'{"reqPayload": {"metadata": {"a": "\\udc00"}}}', id="surrogate in metadata"),
    ],
)
async def test_takes_report(store, body):
    """A valid report is answered ok and given back equal."""
    answer = await post(store, body)
    assert (answer.status_code, answer.json()) == (200, OK)
    assert store.report(1) == json.loads(body)


@pytest.mark.parametrize(
    "body, message",
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"<html>secret</html>", "line 1 column 1", id="HTML"),
        pytest.param(b'{"statusCode": 200', "not valid JSON", id="cut off"),
        pytest.param(b'{"statusCode": NaN}', "NaN is not a JSON number", id="NaN"),
        pytest.param(b'{"reqPayload": [Infinity]}', "Infinity", id="infinity"),
        pytest.param(b'{"reqPayload": [-Infinity]}', "-Infinity", id="minus infinity"),
        pytest.param(b'{"reqPayload": 1e999}', "range of a double", id="out of range"),
        pytest.param(b'{"reqPayload": "\xff"}', "not UTF-8 at byte 16", id="not UTF-8"),
        pytest.param("{}".encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", "not valid JSON", id="byte order mark"),
        pytest.param(b'{"reqPayload": ' + b"9" * 5000 + b"}", "digits", id="5,000 digits"),
        pytest.param(
            b'{"reqPayload": ' + b"[" * 500 + b"]" * 500 + b"}", "deeper than 500", id="501 levels"
        ),
        pytest.param(b'{"reqPayload": ' + b"[" * 10**6, "JSON", id="a million levels"),
        pytest.param(b"[]", "JSON object", id="array"),
        pytest.param(b"null", "JSON object", id="null"),
        pytest.param(b'"secret"', "JSON object", id="string"),
    ],
)
async def test_refuses_body(store, body, message):
    """A body that is not a JSON object is answered 400 with the reason, and not stored."""
    answer = await post(store, body)
    assert answer.status_code == 400
    assert answer.json() == error("BAD_REQUEST", answer.json()["message"])
    assert message in answer.json()["message"]
    assert "secret" not in answer.text
    assert store.count() == 0


NUMBER = "must be a finite number"
NULL = "must not be null; leave the field out"
TAG = "must be a string, a finite number, a boolean or null"


@pytest.mark.parametrize(
    "report, issues",
    [
        pytest.param({"statusCode": "200"}, [f"statusCode: {NUMBER}"], id="number as string"),
        pytest.param({"requestedAt": True}, [f"requestedAt: {NUMBER}"], id="number as bool"),
        pytest.param({"receivedAt": None}, [f"receivedAt: {NULL}"], id="null time"),
        pytest.param({"statusCode": None}, [f"statusCode: {NULL}"], id="null status"),
        pytest.param({"errorMessage": None}, [f"errorMessage: {NULL}"], id="null message"),
        pytest.param({"tags": None}, [f"tags: {NULL}"], id="null tags"),
        pytest.param({"errorMessage": 5}, ["errorMessage: must be a string"], id="message"),
        pytest.param({"tags": []}, ["tags: must be an object"], id="tags as array"),
        pytest.param({"tags": {"a": ["secret"]}}, [f"tags.a: {TAG}"], id="tag as array"),
        pytest.param(
            {"tags": {"\ud800": {}}}, [IsStr(regex=f"tags\\..*: {TAG}")], id="surrogate as tag"
        ),
        pytest.param(
            {"extra": "secret"},
            [IsStr(regex="extra: unknown field; the report has requestedAt, .*, tags")],
            id="unknown field",
        ),
        pytest.param(
            {"\ud800": 1}, [IsStr(regex="\ud800: unknown field; .*")], id="surrogate as field"
        ),
        pytest.param(
            {"statusCode": "secret", "requestedAt": "secret", "reqPayload": {}},
            [f"requestedAt: {NUMBER}", f"statusCode: {NUMBER}"],
            id="two fields",
        ),
    ],
)
async def test_refuses_report(store, report, issues):
    """An issue names the field and the rule, and never the value."""
    answer = await post(store, json.dumps(report))
    assert answer.status_code == 400
    assert answer.json() == error("BAD_REQUEST", *issues)
    assert "secret" not in answer.text
    assert store.count() == 0


@pytest.mark.parametrize(
    "key, header, status",
    [
        pytest.param("k\u00e9y", "Bearer k\u00e9y", 200, id="right"),
        pytest.param("key", "bearer   key ", 200, id="scheme in any case"),
        pytest.param("key", "Bearer other", 401, id="wrong"),
        pytest.param("key", "Bearer k\u00e9y", 401, id="wrong and not ASCII"),
        pytest.param("key", "Bearer", 401, id="no key"),
        pytest.param("key", "key", 401, id="no scheme"),
        pytest.param("key", "Basic key", 401, id="other scheme"),
        pytest.param("key", None, 401, id="no header"),
        pytest.param("", None, 200, id="none asked for"),
        pytest.param(None, "Bearer anything", 200, id="none asked for, one given"),
    ],
)
async def test_api_key(store, key, header, status):
    """Only the right key may report, where one is set."""
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = await post(store, b"{}", headers, api_key=key)
    assert answer.status_code == status
    if status == 401:
        assert answer.json() == error("UNAUTHORIZED", IsStr)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert store.count() == (status == 200)


@pytest.mark.parametrize(
    "headers, status, code",
    [
        pytest.param({}, 401, "UNAUTHORIZED", id="no key"),
        pytest.param(
            {"Authorization": "Bearer k", "Content-Encoding": "gzip"},
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            id="compressed",
        ),
        pytest.param(
            {"Authorization": "Bearer k", "Content-Length": "11"},
            413,
            "PAYLOAD_TOO_LARGE",
            id="announced too large",
        ),
    ],
)
async def test_refuses_before_reading(store, headers, status, code):
    """The key, the encoding and the announced size are checked before the body is read."""
    app = create_app(store, api_key="k", limits=Limits(max_body_bytes=10))
    sent: list[dict[str, Any]] = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"Host": "localhost", **JSON, **headers}.items()
        ],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"]) == error(code, IsStr)


async def test_refuses_large_stream(store):
    """A body without an announced size is cut off at the limit."""
    given_out = []

    async def chunks():
        for _ in range(100):
            given_out.append(1)
            yield b" " * 1_000

    answer = await post(store, chunks(), limits=Limits(max_body_bytes=5_000))
    assert answer.status_code == 413
    assert answer.json() == error("PAYLOAD_TOO_LARGE", "The body is larger than 5000 bytes")


async def test_takes_body_of_the_limit(store):
    """A body of exactly the limit is taken."""
    assert (
        await post(store, b"{}" + b" " * 8, limits=Limits(max_body_bytes=10))
    ).status_code == 200
    assert (
        await post(store, b"{}" + b" " * 9, limits=Limits(max_body_bytes=10))
    ).status_code == 413


@pytest.mark.parametrize(
    "method, path, status, code",
    [
        pytest.param("GET", PATH, 405, "METHOD_NOT_ALLOWED", id="GET"),
        pytest.param("PUT", PATH, 405, "METHOD_NOT_ALLOWED", id="PUT"),
        pytest.param("POST", "/report", 404, "NOT_FOUND", id="no base path"),
        pytest.param("POST", PATH + "/", 404, "NOT_FOUND", id="trailing slash"),
        pytest.param("GET", "/docs", 404, "NOT_FOUND", id="docs"),
        pytest.param("GET", "/redoc", 404, "NOT_FOUND", id="redoc"),
    ],
)
async def test_serves_nothing_else(store, method, path, status, code):
    """Any other path or method is an error in the API's shape."""
    async with client(store) as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()) == (status, error(code, IsStr))
    assert answer.headers.get("Allow") == ("POST" if status == 405 else None)


async def test_idempotency_key(store):
    """A repeated key is answered ok and stored once; reports without one are all stored."""
    for status, key in [(1, "a"), (1, "a"), (3, "b"), (4, None), (5, None), (6, ""), (7, "")]:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await post(store, json.dumps({"statusCode": status}), headers)
        assert answer.json() == OK
    assert [row.status for row in store.recent()] == [1, 3, 4, 5, 6, 7]


async def test_failing_store(store, caplog):
    """A report that cannot be stored is answered 500; neither answer nor log shows it."""
    store.close()
    with caplog.at_level(logging.DEBUG):
        answer = await post(store, b'{"errorMessage": "secret"}', api_key=None)
    assert (answer.status_code, answer.json()) == (500, error("INTERNAL_SERVER_ERROR", IsStr))
    assert "a report could not be stored: the store is closed" in caplog.text
    assert "secret" not in caplog.text


async def test_logs_nothing_of_a_report(store, caplog):
    """No log line at any level shows a key or a payload."""
    with caplog.at_level(logging.DEBUG):
        await post(store, b'{"reqPayload": "secret"}', {"Authorization": "Bearer secret"})
        await post(store, b'{"tags": "secret"}', {"Authorization": "Bearer secret"})
    assert "secret" not in caplog.text


JSON_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
JSON_NUMBER = st.integers(-(10**4000), 10**4000) | st.floats(allow_nan=False, allow_infinity=False)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | JSON_NUMBER | JSON_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXT, inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "model": ANY_JSON,
        "metadata": ANY_JSON | st.dictionaries(JSON_TEXT, ANY_JSON, max_size=3),
        "usage": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("prompt_tokens", "output_tokens"), ANY_JSON)
        ),
    },
)
REPORT = st.fixed_dictionaries(
    {},
    optional={
        "requestedAt": JSON_NUMBER,
        "receivedAt": JSON_NUMBER,
        "statusCode": JSON_NUMBER,
        "errorMessage": JSON_TEXT,
        "reqPayload": ANY_JSON | SHAPED,
        "respPayload": ANY_JSON | SHAPED,
        "tags": st.dictionaries(
            JSON_TEXT | st.just("$endpoint"), st.none() | st.booleans() | JSON_NUMBER | JSON_TEXT
        ),
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(report=REPORT)
async def test_gives_back_equal(store, report):
    """Whatever a valid report holds, it is stored and given back equal."""
    sent = json.dumps(report)
    answer = await post(store, sent)
    assert answer.json() == OK
    assert store.report(store.recent(1)[0].id) == json.loads(sent)


def test_real_http(store):
    """The same over a real socket, on one kept connection, also after a refused body."""
    with (
        serving(create_app(store, api_key="k", limits=Limits(max_body_bytes=100_000))) as url,
        httpx.Client(headers={"Authorization": "Bearer k", **JSON}) as http,
    ):
        assert http.post(f"{url}/report", json={"statusCode": 200}).json() == OK
        large = http.post(f"{url}/report", content=b" " * 100_001)
        assert (large.status_code, large.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
        streamed = http.post(f"{url}/report", content=(b" " * 1_000 for _ in range(200)))
        assert streamed.status_code == 413
        assert http.post(f"{url}/report", json={"statusCode": 201}).json() == OK
        assert httpx.post(f"{url}/report", json={}).status_code == 401
    assert [row.status for row in store.recent()] == [200, 201]
