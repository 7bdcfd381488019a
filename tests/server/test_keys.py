"""API keys over HTTP: who is let in, what a scope allows, and that projects are apart."""

from __future__ import annotations

import json
import sqlite3
import time

import httpx
import pytest
from dirty_equals import IsStr

from openpipe_report.server import authentication
from openpipe_report.server.app import create_app
from openpipe_report.server.authentication import Authenticator
from openpipe_report.server.errors import ApiError
from openpipe_report.server.store import Store

API = "/api/v1"
LATEST = f"{API}/local-testing-only-get-latest-logged-call"
CHANGE = {"filters": [], "metadata": {"score": "1"}}


def report(project):
    return {
        "reqPayload": {
            "model": f"model-of-{project}",
            "messages": [{"role": "user", "content": f"text of {project}"}],
            "metadata": {"of": project},
        },
        "respPayload": {"id": "same-id"},
        "tags": {"$trace_id": "same-trace"},
    }


class Clock:
    """Seconds that pass when they are told to."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


def make_key(store, scope="admin", project="a", **options):
    return store.keys.create("test", project=project, scope=scope, **options)[1]


class Client:
    """Sends requests with keys to one receiver, in process."""

    def __init__(self, store, **options):
        transport = httpx.ASGITransport(create_app(store, local_testing=True, **options))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def send(self, method, path, key=None, body=None, **headers):
        given = key.encode() if isinstance(key, str) else key
        sent = {} if given is None else {"Authorization": b"Bearer " + given}
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body)
        return await self._http.request(method, path, content=content, headers={**sent, **headers})


READS = [
    ("GET", f"{API}/reports", None),
    ("GET", f"{API}/reports/1", None),
    ("GET", f"{API}/traces/same-trace", None),
    ("GET", f"{API}/stats", None),
    ("GET", LATEST, None),
    ("GET", "/metrics", None),
]
WRITES = [
    ("POST", f"{API}/report", report("a")),
    ("POST", f"{API}/report-anthropic", {}),
    ("POST", f"{API}/logs/update-metadata", CHANGE),
    ("POST", f"{API}/logs/update-tags", {"filters": [], "tags": {"score": 1}}),
]


@pytest.mark.parametrize("method, path, body", [*READS, *WRITES])
async def test_scopes(store, method, path, body):
    """A write key stores and changes, a read key reads, an admin key does both; others are 403."""
    store.add(report("a"), project="a").result()
    client = Client(store)
    needed = "read" if method == "GET" else "write"
    keys = {scope: make_key(store, scope) for scope in ("read", "write", "admin")}
    for scope, key in keys.items():
        answer = await client.send(method, path, key, body)
        if scope in (needed, "admin"):
            assert answer.status_code == 200
            continue
        assert answer.status_code == 403
        message = f"This needs an API key with the scope {needed}; this one has {scope}"
        assert answer.json() == {
            "message": message,
            "code": "FORBIDDEN",
            "issues": [{"message": message}],
        }


@pytest.mark.parametrize(
    "method, path, body", [*READS, *WRITES, ("GET", "/openapi.json", None), ("GET", "/x", None)]
)
async def test_keys_are_required(store, method, path, body):
    """Once a key exists, every request but a health check needs one, on loopback too."""
    make_key(store)
    client = Client(store)
    for key in (None, "", "wrong", "opr_" + "x" * 43, b"\xe9", "any thing"):
        answer = await client.send(method, path, key, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert store.count() == 0
    assert (await client.send("GET", "/healthz")).status_code == 200


async def test_other_schemes(store):
    """Only `Bearer` is accepted, in any case."""
    key = make_key(store)
    client = Client(store)
    for header, status in ((f"bearer  {key}", 200), (f"Basic {key}", 401), (key, 401)):
        answer = await client.send("GET", "/metrics", Authorization=header)
        assert answer.status_code == status


@pytest.mark.parametrize("scope", ["write", "read", "admin"])
async def test_description_of_api(store, scope):
    """Any key may read the description of the API."""
    answer = await Client(store).send("GET", "/openapi.json", make_key(store, scope))
    assert answer.status_code == 200


async def test_without_keys(store):
    """Without a key everything is allowed, whatever key is sent, and is of the default project."""
    client = Client(store)
    for key in (None, "any"):
        assert (await client.send("POST", f"{API}/report", key, report("a"))).status_code == 200
        found = (await client.send("GET", f"{API}/reports", key)).json()["data"]
        assert {row["project"] for row in found} == {"default"}
    store.add(report("b"), project="b").result()
    assert len((await client.send("GET", f"{API}/reports")).json()["data"]) == 2


async def test_key_of_the_command_line(store):
    """The key of `serve --api-key` has full access to the default project, beside other keys."""
    client = Client(store, api_key="simple")
    own = make_key(store, project="a")
    for key, project in (("simple", "default"), (own, "a")):
        assert (await client.send("POST", f"{API}/report", key, report("x"))).status_code == 200
        found = (await client.send("GET", f"{API}/reports", key)).json()["data"]
        assert [row["project"] for row in found] == [project]
    assert (await client.send("GET", f"{API}/reports", "other")).status_code == 401


async def get_all(client, key):
    """Return what a key sees by every route, except what has times of its own."""
    paths = ["/reports?payloads=true", "/reports/same-id", "/traces/same-trace"]
    paths += ["/stats?by=model", "/stats?by=metadata.of", "/reports?text=text", "/stats?bucket=day"]
    answers = [await client.send("GET", f"{API}{path}", key) for path in paths]
    return "\n".join([answer.text for answer in [*answers, await client.send("GET", LATEST, key)]])


async def test_projects_are_apart(store):
    """A key of one project sees nothing of another by any route, and changes nothing there."""
    client = Client(store)
    keys = {project: make_key(store, project=project) for project in ("a", "b")}
    for project, key in keys.items():
        sent = {"Idempotency-Key": "same-key"}
        answer = await client.send("POST", f"{API}/report", key, report(project), **sent)
        assert answer.status_code == 200  # the key of another project's report is no conflict
    while store.queries.unindexed():
        pass
    for project, key in keys.items():
        other = "b" if project == "a" else "a"
        seen = await get_all(client, key)
        assert f"text of {project}" in seen
        assert f"-of-{other}" not in seen
        assert f"text of {other}" not in seen
        assert f'"{other}"' not in seen
    ids = {row.project: row.id for row in store.recent()}
    for path in (f"/reports/{ids['b']}", "/traces/other", "/reports/other"):
        hidden = await client.send("GET", f"{API}{path}", keys["a"])
        missing = await client.send("GET", f"{API}{path}99", keys["a"])
        assert (hidden.status_code, hidden.json()) == (404, missing.json())
    for query in ("metadata.of=b", "model=model-of-b", "text=text+of+b"):
        assert (await client.send("GET", f"{API}/reports?{query}", keys["a"])).json()["data"] == []
        sums = (await client.send("GET", f"{API}/stats?{query}", keys["a"])).json()["data"]
        assert [one["calls"] for one in sums] == [0]
    for path, field in (("update-metadata", "metadata"), ("update-tags", "tags")):
        body = {"filters": [], field: {"score": "1"}}
        changed = await client.send("POST", f"{API}/logs/{path}", keys["a"], body)
        assert changed.json() == {"matchedLogs": 1}
    assert "score" not in await get_all(client, keys["b"])


async def test_waiting_feedback(store):
    """Feedback that comes first waits for the report of its own project."""
    client = Client(store)
    keys = {project: make_key(store, project=project) for project in ("a", "b")}
    body = {**CHANGE, "filters": [{"field": "completionId", "equals": "same-id"}]}
    await client.send("POST", f"{API}/logs/update-metadata", keys["a"], body)
    for project in ("b", "a"):
        await client.send("POST", f"{API}/report", keys[project], report(project))
    assert [row.metadata.get("score") for row in store.recent()] == [None, "1"]


async def test_replay(store):
    """A repeated Idempotency-Key is a replay or a conflict in its own project only."""
    client = Client(store)
    keys = {project: make_key(store, project=project) for project in ("a", "b")}
    sent = {"Idempotency-Key": "k"}
    statuses = [
        (await client.send("POST", f"{API}/report", keys[project], body, **sent)).status_code
        for project, body in [("a", report("a")), ("b", report("b"))] * 2 + [("b", report("c"))]
    ]
    assert statuses == [200, 200, 200, 200, 409]
    assert store.count() == 2


def bearer(key):
    return f"Bearer {key}".encode()


async def is_accepted(authenticator, key):
    try:
        await authenticator.identify(bearer(key))
    except ApiError as error:
        if error.status != 401:
            raise
        return False
    return True


async def test_rotation(store):
    """New and revoked keys count within seconds, without a restart; both work in between."""
    old_row, old = store.keys.create("old", project="a", scope="write")
    clock = Clock()
    authenticator = Authenticator(store, "", clock=clock)
    assert await is_accepted(authenticator, old)
    new = make_key(store)
    clock.now += authentication.MIN_AGE + 0.1
    assert await is_accepted(authenticator, new)  # it is looked for at once
    assert await is_accepted(authenticator, old)
    store.keys.revoke([old_row.id])
    clock.now += authentication.MAX_AGE + 0.1
    assert not await is_accepted(authenticator, old)
    assert await is_accepted(authenticator, new)


async def test_keys_are_read_in_the_background(store):
    """A request waits for no query as long as the keys are a few seconds old."""
    row, key = store.keys.create("one", project="a", scope="write")
    clock = Clock()
    authenticator = Authenticator(store, "", clock=clock)
    assert await is_accepted(authenticator, key)
    store.keys.revoke([row.id])
    clock.now += authentication.REREAD_AFTER + 0.1
    coroutine = authenticator.identify(bearer(key))
    with pytest.raises(StopIteration):  # it ends without waiting, by what was read before
        coroutine.send(None)
    await authenticator._reading
    assert not await is_accepted(authenticator, key)


async def test_wrong_keys_cause_few_queries(store, monkeypatch):
    """However many wrong keys come, the keys are read at most once in `MIN_AGE`."""
    make_key(store)
    clock = Clock()
    authenticator = Authenticator(store, "", clock=clock)
    reads = []
    read = store.keys.accepted
    monkeypatch.setattr(store.keys, "accepted", lambda: reads.append(1) or read())
    for _ in range(100):
        assert not await is_accepted(authenticator, "wrong")
    assert len(reads) == 1


async def test_first_key_closes_the_receiver(store):
    """A receiver that needed no key needs one within seconds after the first was made."""
    clock = Clock()
    authenticator = Authenticator(store, "", clock=clock)
    assert (await authenticator.identify(b"")).project == "default"
    row, _ = store.keys.create("one", project="a", scope="write")
    clock.now += authentication.MAX_AGE + 0.1
    assert not await is_accepted(authenticator, "")
    store.keys.revoke([row.id])
    clock.now += authentication.MAX_AGE + 0.1
    assert not await is_accepted(authenticator, "")


async def test_expiry(store):
    """An expired key is refused at once, also where the keys were read before."""
    soon = time.time() * 1_000 + 300
    key = make_key(store, expires_at=soon)
    authenticator = Authenticator(store, "", clock=Clock())
    assert await is_accepted(authenticator, key)
    while time.time() * 1_000 <= soon:
        pass
    assert not await is_accepted(authenticator, key)


async def test_unreadable_keys(store):
    """Where the keys cannot be read nobody is let in, and the answer is temporary."""
    key = make_key(store)
    client = Client(store)
    with sqlite3.connect(store.name) as other:
        other.execute("ALTER TABLE api_keys RENAME TO moved")
    answer = await client.send("GET", "/metrics", key)
    assert (answer.status_code, answer.json()["message"]) == (503, IsStr(regex="The API keys.*"))
    with sqlite3.connect(store.name) as other:
        other.execute("ALTER TABLE moved RENAME TO api_keys")
    other.close()
    assert (await client.send("GET", "/metrics", key)).status_code == 200


async def test_last_use(store):
    """The last use of a key is noted at most once a minute, and what is refused is no use."""
    row, key = store.keys.create("one", project="a", scope="write")
    clock = Clock()
    authenticator = Authenticator(store, "", clock=clock)
    assert not await is_accepted(authenticator, "wrong")
    noted = []
    for seconds in (0, authentication.MARKED_EVERY - 1, authentication.MARKED_EVERY + 1):
        clock.now = 1_000.0 + seconds
        await is_accepted(authenticator, key)
        store.keys.revoke([])  # behind the note in the queue of changes
        noted.append(store.keys.all()[0].last_used_at)
    assert noted[0] is not None
    assert noted[0] == noted[1] < noted[2]
    assert store.keys.all()[0].id == row.id
