"""The spool: what is in its files, who takes them over, and what happens when it is unusable."""

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
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.backend import script_environment
from support.spool_double import KEY, make, put

from openpipe_report._spool.file import PATTERN, SpoolFile

HANG_GUARD = 60
PRELUDE = "import json, os, sys, time\nfrom support.spool_double import make, put\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


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


def files(path):
    return sorted(path.glob(PATTERN))


def held(path):
    """What the files that no process has open hold: key and reason of each report."""
    found = []
    for each in files(path):
        with closing(sqlite3.connect(each)) as connection:
            query = "SELECT idempotency_key, reason FROM reports ORDER BY number"
            found += connection.execute(query).fetchall()
    return found


def until(is_true):
    deadline = time.monotonic() + HANG_GUARD
    while not is_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + script]
        + [str(each) for each in arguments],
        env=script_environment(),
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


STORING = """
spool, delegate = make(sys.argv[1], **json.loads(sys.argv[3]))
put(spool, *range(int(sys.argv[2])), size=1000)
assert spool.sync(60)
print(len(delegate.enqueued), flush=True)
sys.stdin.readline()
os._exit(0)
"""


def leave_behind(path, count=3, end="SIGKILL", **settings):
    """Let a process store reports and end; returns their keys."""
    process = start(STORING, path, count, json.dumps(settings))
    assert process.stdout.readline() == f"{count}\n"
    if end == "os._exit":
        process.stdin.write("\n")
        process.stdin.flush()
    else:
        process.send_signal(getattr(signal, end))
    process.communicate(timeout=HANG_GUARD)
    return [f"key-{process.pid}-{number}" for number in range(count)]


# One process.


def test_stored_before_sent(opened, path):
    """A report is in a file, private and as JSON, before it is enqueued for sending."""
    spool, delegate = opened()
    seen = []
    delegate.enqueue = lambda entry: seen.append(entry.place.file.load(0, 10, 1000))
    [entry] = put(spool, 1)
    assert spool.sync(HANG_GUARD)
    [[stored]] = seen
    assert (stored.idempotency_key, stored.body) == (entry.idempotency_key, entry.body)
    [file] = files(path)
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.iterdir()}
    assert modes == dict.fromkeys((file.name, f"{file.name}-wal"), 0o600)
    assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "end, left",
    [
        (lambda spool, place: spool.remove(place), []),
        (lambda spool, place: spool.dead_letter(place, "HTTP 422 no"), ["HTTP 422 no"]),
        (lambda spool, place: spool.dead_letter(place, ""), ["rejected"]),
    ],
    ids=["delivered", "rejected", "rejected-without-a-word"],
)
def test_ends(opened, path, end, left):
    """A delivered report leaves the file; a rejected one stays as a dead letter."""
    spool, _ = opened()
    [entry, other] = put(spool, 1, 2)
    spool.sync(HANG_GUARD)
    end(spool, entry.place)
    assert spool.close(HANG_GUARD) == 1
    rows = dict(held(path))
    assert rows.pop(other.idempotency_key) is None
    assert list(rows.values()) == left


def test_ends_are_written_without_new_reports(opened):
    """A delivery is recorded in the file soon, even if no other report follows."""
    spool, _ = opened()
    [entry] = put(spool, 1)
    spool.sync(HANG_GUARD)
    spool.remove(entry.place)
    until(lambda: entry.place.file.counts().waiting == 0)


def test_nothing_is_left(opened, path):
    """A file whose reports have all ended is removed when it is closed."""
    spool, delegate = opened()
    put(spool, *range(300), size=5_000)
    spool.sync(HANG_GUARD)
    for entry in delegate.enqueued:
        spool.remove(entry.place)
    assert spool.close(HANG_GUARD) == 0
    assert list(path.iterdir()) == []


def test_many(opened, path):
    """A backlog that needs several commits, by count or by size, is stored whole and in order."""
    spool, _ = opened()
    entries = put(spool, *range(450)) + put(spool, *range(450, 456), size=400_000)
    assert spool.close(HANG_GUARD) == 456
    assert [key for key, _ in held(path)] == [entry.idempotency_key for entry in entries]


def test_nothing_to_send(opened, path, caplog):
    """A report that is filtered out or cannot be built is neither stored nor sent."""
    spool, delegate = opened()
    built = delegate.build
    delegate.build = lambda entry: (None, 1 / 0)[entry.number % 2] if entry.number else built(entry)
    with suppress(ZeroDivisionError):
        put(spool, 0, 1, 2)
    assert spool.close(HANG_GUARD) == 1
    assert len(delegate.enqueued) == 1


def test_no_key_in_files_or_repr(opened, path):
    """The API key is in no file, log, or repr; the hash differs between files."""
    spool, _ = opened()
    other, _ = opened()
    for one in (spool, other):
        put(one, 1)
        one.sync(HANG_GUARD)
    text = b"".join(one.read_bytes() for one in path.iterdir())
    assert b"key-" in text
    assert KEY.encode() not in text
    assert KEY not in repr(spool)
    spool.close(HANG_GUARD)
    other.close(HANG_GUARD)
    hashes = set()
    for each in files(path):
        with closing(sqlite3.connect(each)) as connection:
            hashes.add(connection.execute("SELECT key_hash FROM destination").fetchone())
    assert len(hashes) == 2


def test_marked_as_ours(opened, path):
    """A file has an application id by which other programs recognise it."""
    spool, _ = opened()
    put(spool, 1)
    spool.close(HANG_GUARD)
    with closing(sqlite3.connect(files(path)[0])) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == (
            b"OPRs"
        )


def test_close_and_on(opened, path):
    """Closing ends the thread; a later report opens another file."""
    spool, _ = opened()
    put(spool, 1)
    assert spool.close(HANG_GUARD) == 1
    until(lambda: spool._thread is None)
    put(spool, 2)
    spool.sync(HANG_GUARD)
    assert len(files(path)) == 2


def test_delivered_after_close(opened, path):
    """A delivery that ends after the close is recorded, and the file closed again."""
    spool, _ = opened()
    [entry] = put(spool, 1)
    assert spool.close(HANG_GUARD) == 1
    spool.remove(entry.place)
    until(lambda: list(path.iterdir()) == [])


def test_dropped(path):
    """A garbage-collected spool ends its thread, writes what it knows and closes its file."""
    spool, delegate = make(path)
    [entry, _] = put(spool, 1, 2)
    spool.sync(HANG_GUARD)
    thread = spool._thread
    spool.remove(entry.place)
    del spool, delegate, entry, _
    until(lambda: gc.collect() is not None and not thread.is_alive())
    assert len(held(path)) == 1


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


# More than memory holds.


def test_set_aside(opened):
    """Where memory is half full reports stay in the file, and are read back in their order."""
    spool, delegate = opened()
    put(spool, 0)
    spool.sync(HANG_GUARD)
    delegate.crowded, delegate.space = True, (0, 0)
    entries = put(spool, *range(1, 51))
    spool.sync(HANG_GUARD)
    delegate.crowded = False
    entries += put(spool, *range(51, 101))  # after those that wait already
    spool.sync(HANG_GUARD)
    assert (len(delegate.enqueued), delegate.aside) == (1, entries)
    delegate.space = (7, 2**20)
    until(lambda: len(delegate.read) == 100)
    assert [each.idempotency_key for each in delegate.read] == [
        entry.idempotency_key for entry in entries
    ]
    assert [each.tag for each in delegate.read] == list(range(101, 201))
    put(spool, 200)
    spool.sync(HANG_GUARD)
    assert len(delegate.enqueued) == 2


def test_no_room_after_all(opened):
    """What finds no room when it is read back is read again later, once."""
    spool, delegate = opened()
    delegate.crowded = True
    entries = put(spool, *range(50))
    accepted = []

    def read_back(loaded):
        attempts.append(loaded)
        if len(attempts) % 5 == 0:
            return False
        accepted.append(loaded.idempotency_key)
        return True

    attempts: list = []
    delegate.read_back = read_back
    until(lambda: len(accepted) == 50)
    assert accepted == [entry.idempotency_key for entry in entries]


# Several processes.


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "os._exit"])
def test_next_process_takes_over(opened, path, end):
    """However a process ends, the next one reads its reports back, each one once."""
    keys = leave_behind(path, 300, end)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: len(delegate.read) == 300)
    assert [one.idempotency_key for one in delegate.read] == keys
    assert all(json.loads(one.body)[1] == "x" * 1000 for one in delegate.read)
    assert all(one.tag is None for one in delegate.read)
    for one in delegate.read:
        spool.remove(one.place)
    until(lambda: len(files(path)) == 1)


def test_ended_by_the_heir(opened, path):
    """What an heir delivers or gives up is recorded in the file that it took over."""
    keys = leave_behind(path)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: len(delegate.read) == 3)
    spool.remove(delegate.read[0].place)
    spool.dead_letter(delegate.read[1].place, "HTTP 400")
    assert spool.close(HANG_GUARD) == 2
    assert {(keys[1], "HTTP 400"), (keys[2], None)} <= set(held(path))
    assert keys[0] not in dict(held(path))


def test_dead_letters_are_left(opened, path):
    """A file that holds dead letters alone is not read, and not removed."""
    spool, _ = opened()
    [entry] = put(spool, 1)
    spool.sync(HANG_GUARD)
    spool.dead_letter(entry.place, "HTTP 400")
    assert spool.close(HANG_GUARD) == 0
    heir, delegate = opened()
    put(heir, 2)
    until(lambda: heir._folder.orphans._left_alone)
    assert delegate.read == []
    assert len(files(path)) == 2


def test_a_living_process_keeps_its_file(opened, path):
    """As long as a process lives, nobody takes its file over, however long it is silent."""
    process = start(STORING, path, 3, "{}")
    assert process.stdout.readline() == "3\n"
    spool, delegate = opened()
    put(spool, 1)
    spool.sync(HANG_GUARD)
    [theirs] = [each for each in files(path) if each != spool._folder._own.file.path]
    for _ in range(20):
        assert SpoolFile.take_over(theirs) is None
        threading.Event().wait(0.01)
    assert delegate.read == []
    process.kill()
    process.communicate(timeout=HANG_GUARD)
    until(lambda: len(delegate.read) == 3)


@pytest.mark.parametrize(
    "theirs",
    [{"api_key": "opk_other"}, {"api_key": None}, {"base_url": "http://127.0.0.1:2/api/v1"}],
    ids=["key", "no-key", "url"],
)
def test_only_the_own_destination(opened, path, theirs):
    """Two projects may share a folder: each reads back only what is for its own destination."""
    leave_behind(path, **theirs)
    mine = leave_behind(path)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: len(delegate.read) == 3)
    assert [one.idempotency_key for one in delegate.read] == mine
    other, delegate = opened(**theirs)
    put(other, 1)
    until(lambda: len(delegate.read) == 3)


def test_room(opened, path):
    """No more reports are read back than there is room for; the rest follows."""
    keys = leave_behind(path, 30)
    spool, delegate = opened()
    delegate.space = (0, 0)
    put(spool, 1)
    spool.sync(HANG_GUARD)
    assert delegate.read == []
    delegate.space = (4, 2500)
    until(lambda: len(delegate.read) == 30)
    assert [one.idempotency_key for one in delegate.read] == keys


def test_nobody_gets_the_same(path):
    """Of several processes that look at the same time, no two read the same report back."""
    keys = [key for _ in range(5) for key in leave_behind(path, 20)]
    script = """
spool, delegate = make(sys.argv[1])
put(spool, 10_000 + os.getpid())
deadline = time.monotonic() + 3
ended = 0
while time.monotonic() < deadline:
    for one in delegate.read[ended:]:
        spool.remove(one.place)
        ended += 1
    time.sleep(0.01)
spool.close(60)
print(json.dumps([one.idempotency_key for one in delegate.read]))
"""
    processes = [start(script, path) for _ in range(4)]
    taken = [json.loads(each.communicate(timeout=HANG_GUARD)[0]) for each in processes]
    assert sorted(key for each in taken for key in each if key in keys) == sorted(keys)


def test_fifty_short_processes(path, opened):
    """Processes in a row that each end at once leave nothing behind that nobody delivers."""
    script = """
for number in range(50):
    child = os.fork()
    if not child:
        spool, delegate = make(sys.argv[1])
        put(spool, number)
        assert spool.sync(60)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    run(script, path)
    spool, delegate = opened()
    put(spool, 50)
    for count in (16, 32, 48, 50):  # not all files are open at once
        until(lambda count=count: len(delegate.read) == count)
        assert len(spool._folder.orphans.backlogs) <= 16
        for one in delegate.read[-16:]:
            spool.remove(one.place)
    assert sorted(json.loads(one.body)[0] for one in delegate.read) == list(range(50))
    until(lambda: len(files(path)) == 1)


def test_died_while_making_its_file(opened, path, tmp_path):
    """A file without tables is left to the process that makes it; after a minute it is removed."""
    path.mkdir()
    young, old = path / "reports-a.spool", path / "reports-b.spool"
    for each in (young, old):
        each.touch()
    os.utime(old, (1, 1))
    spool, _ = opened()
    put(spool, 1)
    until(lambda: not old.exists())
    assert young.exists()


# Forks.


def test_forked_child(path):
    """A child has a file of its own; the parent's stays the parent's, also after its exit."""
    script = """
spool, delegate = make(sys.argv[1])
put(spool, 1, 2)
spool.sync(60)
child = os.fork()
if child == 0:
    mine, theirs = make(sys.argv[1])
    put(mine, 3)
    mine.sync(60)
    assert theirs.read == [] and theirs.enqueued[0].place is not None
    mine.close(60)
    sys.exit()  # the modules are taken apart, and what they hold with them
assert os.waitpid(child, 0)[1] == 0
put(spool, *range(4, 304), size=5000)
spool.sync(60)
assert all(entry.place for entry in delegate.enqueued)
assert len(delegate.enqueued) == 302
print(spool.close(60) - len(delegate.read))
"""
    assert run(script, path) == "302\n"
    assert len(held(path)) == 303
    with closing(sqlite3.connect(files(path)[0])) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_fork_while_writing(path):
    """Forks in the midst of writing neither hang nor lose anything."""
    script = """
import threading
spool, delegate = make(sys.argv[1])
writing = threading.Thread(target=lambda: put(spool, *range(400), size=2000))
writing.start()
for number in range(5):
    child = os.fork()
    if child == 0:
        mine, theirs = make(sys.argv[1], api_key="child")
        put(mine, number)
        mine.sync(60)
        os._exit(0 if theirs.enqueued[0].place else 1)
    assert os.waitpid(child, 0)[1] == 0
writing.join()
assert spool.sync(60)
print(sum(entry.place is not None for entry in delegate.enqueued), spool.close(60))
"""
    assert run(script, path) == "400 400\n"
    assert len(held(path)) == 405


def test_grandchildren(path):
    """A chain of forks, each with a file of its own, leaves all of them readable."""
    script = """
spool, delegate = make(sys.argv[1])
for depth in range(4):
    put(spool, depth)
    assert spool.sync(60)
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        put(spool, 100 + depth)
        assert spool.sync(60)
        os._exit(0)
    spool, delegate = make(sys.argv[1])
"""
    run(script, path)
    assert len(held(path)) == 8


# An unusable folder or file.


def check_memory_only(spool, delegate, caplog, *told):
    """Check that reports are sent without a file, and that one line says why."""
    entries = put(spool, 1)
    assert spool.sync(HANG_GUARD)
    entries += put(spool, 2, 3)
    assert spool.sync(HANG_GUARD)
    assert delegate.enqueued == entries
    assert not any(entry.place for entry in entries)
    [line] = caplog.messages
    assert all(text in line for text in ("from memory only", *told))


def test_a_file_in_its_place(opened, path, caplog):
    """A file is left unchanged, and the log says that a folder is wanted."""
    path.write_text("notes")
    check_memory_only(*opened(), caplog, "is a file: set spool to a folder")
    assert path.read_text() == "notes"


@pytest.mark.skipif(os.name != "posix" or not Path("/proc").exists(), reason="needs /proc")
def test_unusable(opened, caplog):
    """Where no folder can be made, reports are sent from memory."""
    check_memory_only(*opened("/proc/spool"), caplog, "No such file")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a tiny file system")
def test_disk_full(tmp_path):
    """When the disk is full, reports are sent from memory."""
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import logging
spool, delegate = make(sys.argv[1])
for number in range(30):
    put(spool, number, size=20_000)
    assert spool.sync(60)
places = [entry.place is not None for entry in delegate.enqueued]
assert len(places) == 30 and any(places) and not all(places), places
os._exit(0)
"""
    process = start(script, tmp_path / "spool")
    _, err = process.communicate(timeout=HANG_GUARD)
    assert process.returncode == 0, err
    assert err.count("\n") == 1
    assert "from memory only" in err


def test_foreign_and_newer_files(opened, path, caplog):
    """A file of another program, or another version, is left unchanged and named once."""
    path.mkdir()
    foreign, newer = path / "reports-a.spool", path / "reports-b.spool"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE users (name)")
    leave_behind(path, 1, "os._exit")
    [left] = [each for each in files(path) if each != foreign]
    with closing(sqlite3.connect(left)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    left.rename(newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = foreign.read_bytes()
    spool, delegate = opened()
    put(spool, 2)
    until(lambda: caplog.messages)
    spool.sync(HANG_GUARD)
    assert delegate.read == []
    assert foreign.read_bytes() == before
    [line] = caplog.messages
    assert "reports-a.spool is not of this version's spool" in line


def test_bounded(opened, path, caplog):
    """A full file drops its oldest dead letters; else reports are sent from memory."""
    spool, delegate = opened(max_bytes=200_000)
    for number in range(40):
        put(spool, number, size=5000)
        spool.sync(HANG_GUARD)
    stored = [entry for entry in delegate.enqueued if entry.place]
    assert 20 < len(stored) < 40
    assert "full" in caplog.text
    for entry in stored[:10]:
        spool.dead_letter(entry.place, "HTTP 400")
    spool.sync(HANG_GUARD)
    until(lambda: put(spool, 50, size=5000) and spool.sync(60) and delegate.enqueued[-1].place)
    assert "dead letters were deleted" in caplog.text


def test_space_is_used_again(opened, path):
    """The space of delivered reports is used again."""
    spool, delegate = opened(max_bytes=400_000)
    for _ in range(20):
        put(spool, *range(20), size=5000)
        spool.sync(HANG_GUARD)
        assert all(entry.place for entry in delegate.enqueued)
        for entry in delegate.enqueued:
            spool.remove(entry.place)
        delegate.enqueued.clear()
        spool.sync(HANG_GUARD)


def damage_header(content):
    return bytes(4096) + content[4096:]


def damage_tables(content):
    return content[:4096] + bytes(len(content) - 4096)


@pytest.mark.parametrize("damage", [damage_header, damage_tables, lambda _: b"x" * 9999])
def test_corrupt_of_another(opened, path, caplog, damage):
    """A damaged file that a process has left is renamed with its content, and looked at no more."""
    leave_behind(path, 50)
    [file] = files(path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = damage(file.read_bytes())
    file.write_bytes(content)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: caplog.messages)
    [aside] = path.glob("*.corrupt-*")
    assert aside.read_bytes() == content
    spool.sync(HANG_GUARD)
    [entry] = delegate.enqueued
    assert entry.place is not None


def test_corrupt_while_in_use(opened, path, caplog, monkeypatch):
    """A file that turns corrupt while it is in use is renamed, and another one made."""
    spool, _ = opened()
    put(spool, 1)
    spool.sync(HANG_GUARD)
    add, failures = SpoolFile.add, iter([sqlite3.DatabaseError("database disk image is malformed")])

    def fail_once(file, added):
        for failure in failures:
            raise failure
        return add(file, added)

    monkeypatch.setattr(SpoolFile, "add", fail_once)
    [entry] = put(spool, 2)
    spool.sync(HANG_GUARD)
    assert entry.place is not None
    assert len(list(path.glob("*.corrupt-*"))) >= 1
    [line] = caplog.messages
    assert "was corrupt" in line


def test_removed_while_in_use(opened, path):
    """When somebody removes the folder, a new one is made."""
    spool, _ = opened()
    put(spool, 1)
    spool.sync(HANG_GUARD)
    for each in path.iterdir():
        each.unlink()
    path.rmdir()
    [entry] = put(spool, 2)
    spool.sync(HANG_GUARD)
    assert entry.place is not None
    assert spool.close(HANG_GUARD) == 1
    assert [key for key, _ in held(path)] == [entry.idempotency_key]


def test_ends_that_find_no_room(opened, path, monkeypatch):
    """Ends that a full disk does not take are written when it has room again."""
    spool, delegate = opened()
    put(spool, *range(20))
    spool.sync(HANG_GUARD)
    is_full = threading.Event()
    is_full.set()
    resolve = SpoolFile.resolve

    def refuse(file, *ends):
        if is_full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        resolve(file, *ends)

    monkeypatch.setattr(SpoolFile, "resolve", refuse)
    for entry in delegate.enqueued:
        spool.remove(entry.place)
    assert spool.sync(HANG_GUARD)
    is_full.clear()
    until(lambda: delegate.enqueued[0].place.file.counts().waiting == 0)
    assert spool.close(HANG_GUARD) == 0


def damage_within(path):
    """Overwrite pages of a file's data; its header and tables can still be read."""
    content = bytearray(path.read_bytes())
    half = len(content) // 2 // 4096 * 4096
    content[half : half + 10 * 4096] = b"\xff" * 10 * 4096
    path.write_bytes(content)


def test_damaged_within(opened, path, caplog):
    """A file whose damage only its rows show is renamed, and the other files are read."""
    leave_behind(path, 300)
    [file] = files(path)
    good = leave_behind(path, 5)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage_within(file)
    spool, delegate = opened()
    put(spool, 1)
    until(lambda: {one.idempotency_key for one in delegate.read} >= set(good))
    until(lambda: "was corrupt" in caplog.text)
    assert list(path.glob("*.corrupt-*"))


def test_nothing_is_adopted_at_the_end(opened, path):
    """At the end of the process no more files are taken over, not even one's own."""
    spool, delegate = opened()
    put(spool, 1)
    assert spool.close(HANG_GUARD) == 1
    spool.adopt_nothing()
    put(spool, 2)
    spool.sync(HANG_GUARD)
    threading.Event().wait(0.1)
    assert delegate.read == []
    assert len(files(path)) == 2


def test_thread_that_ends_at_once(path):
    """A spool that is closed unused can be closed again, at once."""
    spool, _ = make(path)
    for _ in range(20):
        assert spool.close(HANG_GUARD) == 0
