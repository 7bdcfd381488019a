"""The spool: what is in the file, who takes it over, and what happens when the file is unusable."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.spool_double import make, put

import openpipe_report
from openpipe_report._spool import file as file_module
from openpipe_report._spool import owner as owner_module
from openpipe_report._spool import schema as schema_module
from openpipe_report._spool import writer as writer_module
from openpipe_report._spool.file import SpoolFile
from openpipe_report._spool.owner import LEASE, Owner
from openpipe_report._spool.rows import Destination, DestinationCounts, Rows, SpooledReport

URL = "http://127.0.0.1:1/api/v1"
KEY = "opk_very-secret"
ROOM = (20_000, 2**27)
HANG_GUARD = 60
PRELUDE = "import json, os, sys, time\nfrom support.spool_double import make, put\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reports.spool"


@pytest.fixture
def opened(path):
    """Make spools that are closed at the end."""
    spools = []

    def opened(given=path, **settings):
        spool, delegate = make(given, **settings)
        spools.append(spool)
        return spool, delegate

    yield opened
    for spool in spools:
        spool.close(HANG_GUARD)


@pytest.fixture
def file(path):
    file = SpoolFile(path)
    yield file
    file.close()


@pytest.fixture
def brisk(monkeypatch):
    """Claim reports of dead processes, and use a failed file again, without delay."""
    monkeypatch.setattr(writer_module, "_CLAIM_INTERVAL", 0.01)
    monkeypatch.setattr(writer_module, "_PAUSE", 0.01)


def select(path, query="SELECT key, rejected_at IS NOT NULL, reason FROM reports ORDER BY number"):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def until(is_true):
    deadline = time.monotonic() + HANG_GUARD
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def start(script, *arguments):
    folders = (Path(openpipe_report.__file__).parents[1], Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script, *arguments):
    """Run a script to its end; it may print nothing to stderr."""
    process = start(script, *arguments)
    out, err = process.communicate(timeout=HANG_GUARD)
    assert (process.returncode, err) == (0, "")
    return out


def leave_behind(path, count=3, **settings):
    """Let a process store reports and be killed; returns their keys."""
    script = """
spool, delegate = make(sys.argv[1], **json.loads(sys.argv[3]))
put(spool, *range(int(sys.argv[2])))
while len(delegate.enqueued) < int(sys.argv[2]):
    pass
print("stored", flush=True)
sys.stdin.read()
"""
    process = start(script, path, count, json.dumps(settings))
    assert process.stdout.readline() == "stored\n"
    process.kill()
    process.communicate(timeout=HANG_GUARD)
    return [f"key-{process.pid}-{number}" for number in range(count)]


# One report.


def test_stored_before_sent(opened, path):
    """A report is in the file, private and as JSON, before it is enqueued for sending."""
    spool, delegate = opened()
    seen = []
    delegate.enqueue = lambda entry: seen.append(
        (entry.stored, select(path, "SELECT key, base_url, body FROM reports"))
    )
    [entry] = put(spool, 1)
    assert spool.sync(HANG_GUARD)
    assert seen == [(True, [(entry.idempotency_key, URL, entry.body)])]
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert modes == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o600)


@pytest.mark.parametrize(
    "end, left",
    [
        (lambda spool, key: spool.remove(key), []),
        (lambda spool, key: spool.dead_letter(key, "HTTP 422 no"), [(1, "HTTP 422 no")]),
        (lambda spool, key: spool.dead_letter(key, ""), [(1, "rejected")]),
        (lambda spool, key: spool.release(key), [(0, None)]),
    ],
    ids=["delivered", "rejected", "rejected-without-a-word", "released"],
)
def test_ends(opened, path, end, left):
    """A delivered report leaves the file; a rejected one stays as a dead letter."""
    spool, delegate = opened()
    delegate.space = (0, 0)
    [entry, other] = put(spool, 1, 2)
    spool.sync(HANG_GUARD)
    end(spool, entry.idempotency_key)
    spool.sync(HANG_GUARD)
    rows = {key: rest for key, *rest in select(path)}
    assert rows.pop(other.idempotency_key) == [0, None]
    assert [tuple(rest) for rest in rows.values()] == left


def test_ends_are_noted_without_new_reports(opened, path):
    """A delivery is recorded in the file soon, even if no other report follows."""
    spool, _ = opened()
    [entry] = put(spool, 1)
    spool.sync(HANG_GUARD)
    spool.remove(entry.idempotency_key)
    until(lambda: not select(path))


def test_many(opened, path):
    """A backlog that needs several commits, by count or by size, is stored whole and in order."""
    spool, delegate = opened()
    entries = put(spool, *range(450)) + put(spool, *range(450, 455), size=10**6)
    assert spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    assert [key for key, *_ in select(path)] == [entry.idempotency_key for entry in entries]


def test_nothing_to_send(opened, path, caplog):
    """A report that is filtered out or cannot be built is neither stored nor sent."""
    spool, delegate = opened()
    built = delegate.build

    def build(entry):
        if entry.number == 1:
            raise RuntimeError("on purpose")
        return built(entry) if entry.number != 2 else None

    delegate.build = build
    entries = put(spool, 1, 2, 3)
    spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries[2:]
    assert len(select(path)) == 1
    assert "RuntimeError" in caplog.text
    assert "on purpose" not in caplog.text


def test_no_key_in_file_or_repr(opened, path):
    """The API key is not in the file, its log, or the repr; the hash differs between files."""
    spool, _ = opened()
    other, _ = opened(path.with_name("other"))
    for one in (spool, other):
        put(one, 1)
        one.sync(HANG_GUARD)
    text = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert b"key-" in text
    assert KEY.encode() not in text
    assert KEY not in repr(spool)
    hashes = [
        select(one, "SELECT key_hash FROM reports") for one in (path, path.with_name("other"))
    ]
    assert hashes[0] != hashes[1]


# Claiming.


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "os._exit"])
def test_next_process_takes_over(opened, path, end):
    """However a process ends, the next one recovers its stored reports, each one once."""
    script = """
spool, delegate = make(sys.argv[1])
put(spool, *range(300), size=1000)
while len(delegate.enqueued) < 300:
    pass
spool.remove(delegate.enqueued[0].idempotency_key)
spool.dead_letter(delegate.enqueued[1].idempotency_key, "HTTP 400")
spool.sync(60)
print("stored", flush=True)
sys.stdin.readline()
os._exit(0)
"""
    process = start(script, path)
    assert process.stdout.readline() == "stored\n"
    if end == "os._exit":
        process.stdin.write("\n")
        process.stdin.flush()
    else:
        process.send_signal(getattr(signal, end))
    process.communicate(timeout=HANG_GUARD)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: len(delegate.recovered) == 298)
    assert [one.key for one in delegate.recovered] == [
        f"key-{process.pid}-{n}" for n in range(2, 300)
    ]
    assert all(json.loads(one.body)[1] == "x" * 1000 for one in delegate.recovered)


def test_zombie_is_dead(path):
    """A process that was killed and not waited for counts as gone."""
    process = start(
        "spool, delegate = make(sys.argv[1]); print(1, flush=True); sys.stdin.read()", path
    )
    process.stdout.readline()
    owner = Owner(pid=process.pid, started=owner_module.start_of(process.pid))
    assert not owner.is_dead(time.time())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead(time.time())
    process.communicate(timeout=HANG_GUARD)


HERE = {
    "host": owner_module.this_host(),
    "pid": os.getpid(),
    "started": owner_module.start_of(os.getpid()),
}
GONE = 2**22 + 1
"""A pid that no Linux process has."""


@pytest.mark.parametrize(
    "owner, age, is_dead",
    [
        ({}, 0, False),
        ({}, 10**9, False),
        ({"started": "1"}, 0, True),
        ({"pid": GONE}, 0, True),
        ({"pid": GONE, "started": ""}, 0, True),
        ({"started": ""}, 0, False),
        ({"started": ""}, LEASE + 1, True),
        ({"host": "elsewhere"}, LEASE - 1, False),
        ({"host": "elsewhere", "pid": GONE}, 0, False),
        ({"host": "elsewhere"}, LEASE + 1, True),
        ({"host": "elsewhere"}, -LEASE - 1, True),
    ],
    ids=[
        *(
            "alive",
            "clock-set",
            "pid-used-again",
            "gone",
            "gone-no-proc",
            "no-proc",
            "no-proc-late",
        ),
        *("elsewhere", "elsewhere-other-pids", "elsewhere-late", "elsewhere-clock-set-back"),
    ],
)
def test_who_is_dead(owner, age, is_dead):
    """Here the pid and its start time decide, elsewhere the heartbeat."""
    assert Owner(**{**HERE, **owner, "heartbeat": 1000.0}).is_dead(1000.0 + age) is is_dead


def test_living_owner_keeps_its_rows(opened, brisk, path):
    """Rows of a living owner are not claimed; released ones are, even without a new report."""
    spool, delegate = opened()
    delegate.space = (0, 0)
    entries = put(spool, 1, 2, 3)
    spool.sync(HANG_GUARD)
    other, heir = opened()
    put(other, 4)
    other.sync(HANG_GUARD)
    assert heir.recovered == []
    spool.release(entries[1].idempotency_key)
    until(lambda: [one.key for one in heir.recovered] == [entries[1].idempotency_key])
    assert spool.close(HANG_GUARD) == 2
    until(lambda: len(heir.recovered) == 3)
    assert {one.key for one in heir.recovered} == {entry.idempotency_key for entry in entries}


@pytest.mark.parametrize(
    "mine, theirs",
    [
        ({}, {"api_key": "another"}),
        ({}, {"api_key": None}),
        ({"api_key": None}, {}),
        ({}, {"base_url": "http://127.0.0.1:2/api/v1"}),
    ],
    ids=["other-key", "without-key", "with-key", "other-url"],
)
def test_only_the_own_destination(opened, path, mine, theirs):
    """Two projects may share a file: each claims only reports for its own destination."""
    leave_behind(path, **theirs)
    keys = leave_behind(path, **mine)
    spool, delegate = opened(**mine)
    put(spool, 1)
    until(lambda: delegate.recovered)
    assert [one.key for one in delegate.recovered] == keys
    with closing(SpoolFile(path)) as file, file.rows() as rows:
        assert sorted((one.orphaned, one.owned) for one in rows.count_by_destination()) == [
            (0, 4),
            (3, 0),
        ]


def test_room(opened, brisk, path):
    """No more reports are claimed than there is room for; the rest follows."""
    keys = leave_behind(path, 5)
    spool, delegate = opened()
    delegate.space = (2, 1)
    put(spool, 1)
    until(lambda: len(delegate.recovered) == 5)
    delegate.space = (0, 0)
    assert [one.key for one in delegate.recovered] == keys


def test_nobody_gets_the_same(path):
    """Of several claims at the same time, no two get the same report."""
    leave_behind(path, 200)
    barrier = threading.Barrier(6)
    taken = []

    def take():
        with closing(SpoolFile(path)) as file:
            there = file.destination(URL, KEY)
            barrier.wait()
            while True:
                with file.rows() as rows:
                    claimed = rows.claim(there, 7, 10**6)
                if not claimed:
                    return
                taken.extend(one.key for one in claimed)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_GUARD)
    assert len(taken) == len(set(taken)) == 200


def test_dead_letters_on_request(file):
    """Dead letters are claimed only on request."""
    there = file.destination(URL, KEY)
    with file.rows() as rows:
        rows.add(there, [SpooledReport("a", b"1"), SpooledReport("b", b"2")])
        rows.resolve(dead_lettered=[("a", "HTTP 400")])
        assert rows.count_by_destination() == [DestinationCounts(there, 0, 1, 1)]
        assert rows.claim(there, *ROOM) == []
        assert rows.claim(there, *ROOM, dead_letters=True) == [SpooledReport("a", b"1")]
        assert rows.count_by_destination() == [DestinationCounts(there, 0, 2, 0)]


def test_forgotten_owner_comes_back(file, path):
    """An owner that was taken for dead owns its rows again after its next heartbeat."""
    with file.rows() as rows:
        rows.add(Destination(URL, ""), [SpooledReport("a", b"1")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM owners")
    with file.rows() as rows:
        rows.heartbeat()
        assert rows.count_by_destination() == [DestinationCounts(Destination(URL, ""), 0, 1, 0)]


# Processes and threads.


def test_forked_child(path):
    """A forked child is another owner; the rows of the parent stay the parent's."""
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
spool, delegate = make(sys.argv[1])
put(spool, 1, 2)
spool.sync(60)
child = os.fork()
if child == 0:
    assert not spool._writer.file.is_open
    mine, delegate = make(sys.argv[1])
    put(mine, 3)
    mine.sync(60)
    assert delegate.recovered == []
    os._exit(0 if delegate.enqueued[0].stored else 1)
assert os.waitpid(child, 0)[1] == 0
put(spool, 4)
spool.sync(60)
assert all(entry.stored for entry in delegate.enqueued)
print(os.getpid(), child, spool.close(60), len(delegate.recovered))
"""
    parent, child, left, recovered = map(int, run(script, path).split())
    # What the child left may have been taken over by the parent already.
    assert (left, recovered) in {(3, 0), (4, 1)}
    assert sorted(key for key, *_ in select(path)) == sorted(
        [f"key-{parent}-{number}" for number in (1, 2, 4)] + [f"key-{child}-3"]
    )


def test_fork_while_writing(path):
    """Forks in the midst of writing neither hang nor lose anything."""
    script = """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
spool, delegate = make(sys.argv[1])
writing = threading.Thread(target=lambda: put(spool, *range(400), size=2000))
writing.start()
for number in range(5):
    child = os.fork()
    if child == 0:
        mine, theirs = make(sys.argv[1], api_key="child")
        put(mine, number)
        mine.sync(60)
        os._exit(0 if theirs.enqueued[0].stored else 1)
    assert os.waitpid(child, 0)[1] == 0
writing.join()
assert spool.sync(60)
print(sum(entry.stored for entry in delegate.enqueued))
"""
    assert run(script, path) == "400\n"
    assert len(select(path)) == 405


def test_inherited_open_file(opened, monkeypatch, path, caplog):
    """A child that was forked past Python's hooks sends from memory and says what to do."""
    monkeypatch.setattr(file_module, "_inherited", {str(path)})
    spool, delegate = opened()
    entries = put(spool, 1, 2)
    spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    assert not any(entry.stored for entry in entries)
    assert not path.exists()
    assert len(caplog.messages) == 1
    assert "after the fork" in caplog.text


def test_started_at_once(path):
    """Processes that create the same file at the same time all store, and log nothing."""
    script = """
spool, delegate = make(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
put(spool, *range(20))
spool.sync(60)
print(sum(entry.stored for entry in delegate.enqueued), spool.close(60) >= 20)
"""
    processes = [start(script, path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=HANG_GUARD) == ("20 True\n", "")
    assert len(select(path)) == 80


def test_close_and_on(opened, path):
    """Closing ends the thread and the log; a later report opens the file again."""
    spool, delegate = opened()
    assert spool._thread is None
    put(spool, 1, 2)
    thread = spool._thread
    assert spool.close(HANG_GUARD) == 2
    thread.join(HANG_GUARD)
    assert not thread.is_alive()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    put(spool, 3)
    until(lambda: len(delegate.recovered) == 2)
    assert spool.close(HANG_GUARD) == 3


def test_close_after_a_fork(path):
    """A fork closes the file for a while; `close()` still counts the reports left in it."""
    script = """
spool, delegate = make(sys.argv[1])
put(spool, 1, 2)
spool.sync(60)
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(spool.close(60))
"""
    assert run("import warnings; warnings.simplefilter('ignore')" + script, path) == "2\n"


def test_delivered_after_close(opened, path):
    """A delivery that ends after the close is recorded, and the file closed again."""
    spool, _ = opened()
    [entry, other] = put(spool, 1, 2)
    assert spool.close(HANG_GUARD) == 2
    spool.remove(entry.idempotency_key)
    until(lambda: spool._thread is None)
    assert [key for key, *_ in select(path)] == [other.idempotency_key]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_dropped(brisk, path):
    """A garbage-collected spool ends its thread and releases its rows."""
    spool, _ = make(path)
    put(spool, 1)
    spool.sync(HANG_GUARD)
    thread = spool._thread
    del spool
    until(lambda: gc.collect() is not None and not thread.is_alive())
    assert select(path, "SELECT * FROM owners") == []
    assert len(select(path)) == 1


def test_without_a_thread(monkeypatch, path):
    """Where no thread can be started, as at exit, the waiting caller processes the batches."""

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    spool, delegate = make(path)
    entries = put(spool, 1, 2)
    assert spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    assert spool.close(HANG_GUARD) == 2


# An unusable file.


def check_memory_only(spool, delegate, caplog, *told):
    """Check that reports are sent without the file, and that one line says why."""
    entries = put(spool, 1)
    assert spool.sync(HANG_GUARD)
    entries += put(spool, 2, 3)
    assert spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    assert not any(entry.stored for entry in entries)
    [line] = caplog.messages
    assert all(text in line for text in ("from memory only", *told))


def make_foreign(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name)")


def make_newer(path):
    SpoolFile(path).release_all()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def make_text(path):
    path.write_text("Notes, which somebody wants to keep. " * 99)


@pytest.mark.parametrize(
    "prepare, told",
    [
        (make_text, ["is not a spool", "another file"]),
        (make_foreign, ["another program", "another file"]),
        (make_newer, ["newer", "pip install -U openpipe-report"]),
    ],
    ids=["text", "foreign", "newer"],
)
def test_refused(opened, path, caplog, prepare, told):
    """A file that is not a spool is left unchanged, and the log names the remedy."""
    prepare(path)
    before = path.read_bytes()
    check_memory_only(*opened(), caplog, str(path), *told)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "where, told",
    [
        ("missing/reports.spool", "No such file or directory"),
        (".", "unable to open database file"),
        pytest.param(
            "/sys/reports.spool",
            "Permission denied",
            marks=pytest.mark.skipif(not Path("/sys").is_dir(), reason="no sysfs"),
        ),
    ],
    ids=["no-folder", "folder", "not-allowed"],
)
def test_unusable(opened, tmp_path, caplog, where, told):
    """Where no file can be created, reports are sent from memory."""
    check_memory_only(*opened(tmp_path / where), caplog, told)


def test_read_only(tmp_path):
    """If the file is read-only, reports are sent from memory."""
    script = """
import logging, tempfile
if os.getuid() == 0:
    os.setuid(65534)  # root may write to anything
path = tempfile.mkdtemp() + "/reports.spool"
spool, delegate = make(path)
put(spool, 1)
spool.close(60)
os.chmod(path, 0o400)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
spool, delegate = make(path)
put(spool, 2)
spool.sync(60)
put(spool, 3)
spool.sync(60)
print([entry.stored for entry in delegate.enqueued])
"""
    line, passed = run(script).splitlines()
    assert "from memory only" in line
    assert passed == "[False, False]"


@pytest.mark.parametrize("when", ["before", "while"])
def test_locked(opened, brisk, monkeypatch, path, caplog, when):
    """While another program locks the file, reports are sent from memory; then it is used again."""
    monkeypatch.setattr(file_module, "_BUSY", 0.01)
    spool, delegate = opened()
    if when == "while":
        put(spool, 0)
        spool.sync(HANG_GUARD)
        delegate.enqueued.clear()
    else:
        SpoolFile(path).release_all()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        check_memory_only(spool, delegate, caplog, "locked")
        other.execute("ROLLBACK")
    until(lambda: put(spool, 9) and spool.sync(HANG_GUARD) and delegate.enqueued[-1].stored)
    assert len(caplog.messages) == 1


def test_disk_full(path):
    """When the disk is full, reports are sent from memory."""
    script = """
import logging, resource
logging.basicConfig(stream=sys.stdout, format="%(message)s")
spool, delegate = make(sys.argv[1])
put(spool, 1)
spool.sync(60)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
put(spool, *range(2, 8), size=100_000)
spool.sync(60)
print(len(delegate.enqueued), delegate.enqueued[0].stored, delegate.enqueued[-1].stored)
"""
    line, passed = run(script, path).splitlines()
    assert "from memory only" in line
    assert passed == "7 True False"


@pytest.mark.parametrize("with_dead", [False, True], ids=["of-waiting", "of-dead-letters"])
def test_bounded(opened, path, caplog, with_dead):
    """A full file makes room by dropping the oldest dead letters; else reports go from memory."""
    spool, delegate = opened(max_bytes=400_000)
    old = put(spool, 1, 2, 3, size=100_000)
    spool.sync(HANG_GUARD)
    if with_dead:
        spool.dead_letter(old[0].idempotency_key, "HTTP 400")
        spool.dead_letter(old[1].idempotency_key, "HTTP 400")
    [new] = put(spool, 4, size=100_000)
    spool.sync(HANG_GUARD)
    assert delegate.enqueued == [*old, new]
    assert new.stored is with_dead
    keys = [entry.idempotency_key for entry in ([old[2], new] if with_dead else old)]
    assert [key for key, *_ in select(path)] == keys
    [line] = caplog.messages
    assert ("2 or more dead letters" if with_dead else "full") in line
    assert path.stat().st_size <= 400_000


def test_space_is_used_again(opened, path):
    """The space of delivered reports is used again."""
    spool, _ = opened()
    sizes = []
    for round_ in range(20):
        entries = put(spool, *range(10 * round_, 10 * round_ + 10), size=50_000)
        spool.sync(HANG_GUARD)
        for entry in entries:
            spool.remove(entry.idempotency_key)
        sizes.append(path.stat().st_size)
    assert max(sizes) < 2_000_000
    assert spool.close(HANG_GUARD) == 0


def test_checkpoint_beside(opened, path):
    """A checkpoint runs on a thread of its own while reports are stored."""
    spool, delegate = opened()
    put(spool, *range(5), size=2**20)
    assert spool.sync(HANG_GUARD)
    until(lambda: path.stat().st_size >= 2**22)
    put(spool, 5)
    assert spool.sync(HANG_GUARD)
    assert all(entry.stored for entry in delegate.enqueued)


def test_checkpoint_makes_no_file(file, path):
    """A checkpoint of a file that is gone does nothing."""
    with file.rows() as rows:
        rows.heartbeat()
    for one in path.parent.iterdir():
        one.unlink()
    file.start_checkpoint()
    with file.checkpointing:
        assert not list(path.parent.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"\0" * len(content),
        lambda content: content[:100] + b"\xff" * (len(content) - 100),
        lambda content: content[: len(content) // 2],
    ],
    ids=["zeros", "overwritten", "cut"],
)
def test_corrupt(opened, path, caplog, damage):
    """A corrupt file is renamed with its content, and a new one created."""
    with closing(SpoolFile(path)) as file, file.rows() as rows:
        rows.add(Destination(URL, ""), [SpooledReport(f"key-{n}", b"x" * 5000) for n in range(9)])
    content = damage(path.read_bytes())
    path.write_bytes(content)
    spool, delegate = opened()
    entries = put(spool, 1)
    spool.sync(HANG_GUARD)
    entries += put(spool, 2)
    spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    [aside] = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == content
    assert [key for key, *_ in select(path)] == [entry.idempotency_key for entry in entries]
    [line] = caplog.messages
    assert str(aside) in line


def test_corrupt_while_in_use(opened, brisk, monkeypatch, path, caplog):
    """A file that turns corrupt while it is in use is renamed, too."""
    spool, _ = opened()
    put(spool, 1)
    spool.sync(HANG_GUARD)
    damaged = threading.Event()

    def add(rows, *arguments, original=Rows.add):
        if not damaged.is_set():
            damaged.set()
            raise sqlite3.DatabaseError("database disk image is malformed")
        original(rows, *arguments)

    monkeypatch.setattr(Rows, "add", add)
    [entry] = put(spool, 2)
    spool.sync(HANG_GUARD)
    assert entry.stored
    assert [key for key, *_ in select(path)] == [entry.idempotency_key]
    [aside] = path.parent.glob("*.corrupt-*[0-9]")
    assert len(select(aside)) == 1
    assert len(caplog.messages) == 1


def test_deleted_while_in_use(opened, brisk, path):
    """When the file is deleted, a new one is created soon."""
    spool, _ = opened()
    put(spool, 1)
    spool.sync(HANG_GUARD)
    for one in path.parent.iterdir():
        one.unlink()
    until(lambda: put(spool, 2) and spool.sync(HANG_GUARD) and path.exists() and select(path))


# Versions.


def test_older_is_migrated(file, path, monkeypatch):
    """An older file is migrated with its reports."""
    with file.rows() as rows:
        rows.add(Destination(URL, ""), [SpooledReport("a", b"1")])
    file.release_all()
    newer = [*schema_module.MIGRATIONS, ["ALTER TABLE reports ADD COLUMN more TEXT DEFAULT 'x'"]]
    monkeypatch.setattr(schema_module, "MIGRATIONS", newer)
    with file.rows() as rows:
        assert rows.claim(Destination(URL, ""), *ROOM) == [SpooledReport("a", b"1")]
    assert select(path, "SELECT more FROM reports") == [("x",)]
    assert select(path, "PRAGMA user_version") == [(2,)]


def test_failed_migration_changes_nothing(opened, file, path, monkeypatch, caplog):
    """A migration that fails leaves the older file unchanged."""
    with file.rows() as rows:
        rows.add(Destination(URL, ""), [SpooledReport("a", b"1")])
    file.release_all()
    newer = [*schema_module.MIGRATIONS, ["DELETE FROM reports", "DELETE FROM missing"]]
    monkeypatch.setattr(schema_module, "MIGRATIONS", newer)
    check_memory_only(*opened(), caplog, "no such table")
    assert select(path) == [("a", 0, None)]
    assert select(path, "PRAGMA user_version") == [(1,)]


def test_marked_as_ours(file, path):
    """The file has an application id by which other programs recognise it."""
    with file.rows():
        pass
    assert select(path, "PRAGMA application_id") == [(int.from_bytes(b"OPRs", "big"),)]
    assert select(path, "PRAGMA journal_mode") == [("wal",)]
