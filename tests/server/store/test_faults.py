"""What the store does when its file, its disk or another process is in the way."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest

from openpipe_report.server.store import (
    Filter,
    IdempotencyConflictError,
    Store,
    StoreError,
    StoreUnavailableError,
)


@pytest.fixture
def wide_umask():
    """A umask that lets everybody read new files, as the usual one does."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_files_are_private(path, wide_umask):
    """The database and the files beside it can be read by their owner only."""
    with Store(path) as store:
        store.add({}).result()
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == dict.fromkeys(["reports.db", "reports.db-wal", "reports.db-shm"], 0o600)


def test_mode_of_existing_file(path):
    """An owner who lets others read the file is not overruled."""
    Store(path).close()
    path.chmod(0o640)
    with Store(path) as store:
        store.add({}).result()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def remove(path):
    path.unlink()


def move(path):
    path.rename(path.with_name("away.db"))


def replace(path):
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.replace(path)


@pytest.mark.parametrize("change", [remove, move, replace])
def test_file_is_gone(path, file_store, caplog, change):
    """Once the path no longer names the open file, no report is acknowledged, and that is told."""
    file_store.add({"statusCode": 1}).result()
    change(path)
    with pytest.raises(StoreUnavailableError, match=r"reports\.db was removed, moved or replaced"):
        file_store.add({"statusCode": 2}).result()
    with pytest.raises(StoreUnavailableError, match="removed, moved or replaced"):
        file_store.update_metadata([], {"a": "b"}).result()
    [line] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "nothing can be stored" in line.getMessage()


def test_file_is_back(path, file_store):
    """A file that was moved away and back is used again; what was refused is not in it."""
    file_store.add({"statusCode": 1}).result()
    move(path)
    with pytest.raises(StoreUnavailableError):
        file_store.add({"statusCode": 2}).result()
    path.with_name("away.db").rename(path)
    file_store.add({"statusCode": 3}).result()
    assert [row.status for row in file_store.recent()] == [1, 3]


def test_locked(path, file_store, monkeypatch):
    """While another process holds the file longer than we wait, the failure is a temporary one."""
    monkeypatch.setattr("openpipe_report.server.store.sqlite.BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        file_store.add({"statusCode": 1}).result()
    other.execute("ROLLBACK")
    other.close()
    file_store.add({"statusCode": 2}).result()
    assert [row.status for row in file_store.recent()] == [2]


FULL = """
import resource, signal, sys
from openpipe_report.server.store import Store, StoreUnavailableError
store = Store(sys.argv[1])
store.add({"statusCode": 1}, idempotency_key="a").result()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
usual = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, usual[1]))
big = {"reqPayload": "x" * 2_000_000}
try:
    store.add(big, idempotency_key="b").result()
except StoreUnavailableError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, usual)
store.add(big, idempotency_key="b").result()
print(store.count())
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of a process")
def test_disk_full(path):
    """A report that finds no room fails for now; sent again with its key, it is stored once."""
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    reason, count = done.stdout.splitlines()
    assert "cannot be written" in reason
    assert count == "2"


def test_other_report_with_key(store):
    """A key that was used for another report is a conflict, and stores nothing."""
    store.add({"statusCode": 1}, idempotency_key="k").result()
    with pytest.raises(IdempotencyConflictError):
        store.add({"statusCode": 2}, idempotency_key="k").result()
    assert [row.status for row in store.recent()] == [1]


def test_repeated_key_burns_no_id(store):
    """Ids have no gaps where keys were repeated, within one commit or in several."""
    waiting = [store.add({}, idempotency_key=f"k{number // 3}") for number in range(300)]
    for one in waiting:
        one.result()
    for number in range(100):
        store.add({}, idempotency_key=f"k{number}").result()
    store.add({}).result()
    assert [row.id for row in store.recent()] == list(range(1, 102))


def test_wal_is_bounded(path, monkeypatch):
    """The `-wal` is emptied when it has grown large, though somebody always reads."""
    monkeypatch.setattr("openpipe_report.server.store.sqlite.MAX_WAL_BYTES", 2**20)
    monkeypatch.setattr("openpipe_report.server.store.writer._MAINTENANCE", 0)
    wal, largest = path.with_name("reports.db-wal"), 0
    with Store(path) as store:
        for _ in range(20):
            reader = store.queries.iterate(payloads=True)
            next(reader, None)
            store.add({"reqPayload": "x" * 500_000}).result()
            largest = max(largest, wal.stat().st_size)
    assert largest < 8 * 2**20


def test_read_only_medium(path, tmp_path):
    """A file on a medium that cannot be written is read, if the receiver was stopped before."""
    with Store(path) as store:
        store.add({"statusCode": 7, "errorMessage": "needle"}).result()
    done = read_as_nobody(tmp_path)
    assert done.stdout == "[7] 1\n", done.stderr


def test_other_user_beside_receiver(path, tmp_path):
    """Another user who may read the files reads them while the receiver runs."""
    with Store(path) as store:
        store.add({"statusCode": 7, "errorMessage": "needle"}).result()
        while store.queries.unindexed():
            pass
        done = read_as_nobody(tmp_path)
    assert done.stdout == "[7] 1\n", done.stderr


def test_reports_in_wal_alone(path, tmp_path):
    """Where reports are in a `-wal` that cannot be used, that is said rather than left out."""
    with Store(path) as store:
        store.add({"statusCode": 7}).result()
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", copy)
    done = read_as_nobody(copy)
    assert "copy it together with reports.db" in done.stderr


READ = """
import os, sys, tempfile
from openpipe_report.server.store import Filter, Store
def read(path):
    with Store(path, read_only=True) as store:
        return [row.status for row in store.recent()], store.queries.count(Filter(text="needle"))
if os.geteuid() == 0:
    with tempfile.TemporaryDirectory() as folder:  # imports all modules, while they can be read
        Store(folder + "/reports.db").close()
        read(folder + "/reports.db")
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
print(*read(sys.argv[1]))
"""


def read_as_nobody(folder):
    """Read a database in a process that may write neither the files nor their folder."""
    for one in folder.iterdir():
        if one.is_file():
            one.chmod(0o444)
    parents = [folder]
    while parents[-1].stat().st_uid == os.geteuid() and parents[-1].parent != parents[-1]:
        parents.append(parents[-1].parent)
    before = [
        (one, one.stat().st_mode)
        for one in parents
        if one.owner() != "root" or "pytest" in str(one)
    ]
    for one, mode in before:
        one.chmod(mode | 0o555)
    folder.chmod(0o555)
    try:
        command = [sys.executable, "-c", READ, str(folder / "reports.db")]
        return subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        for one, mode in before:
            one.chmod(mode)


KILLED = """
import os, signal, sys, threading
from openpipe_report.server.store import Store
store = Store(sys.argv[1])
def load(name):
    number = 0
    while True:
        store.add({"errorMessage": f"needle {name} {number}"}).result()
        os.write(1, f"needle {name} {number}\\n".encode())
        number += 1
store.add({}).result()
for name in range(8):
    threading.Thread(target=load, args=(name,), daemon=True).start()
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
signal.pause()
"""


def test_kill_under_load(source):
    """Every report that was acknowledged before `kill -9` is stored and found by its text."""
    acknowledged = set()
    for seconds in ("0.3", "0.7"):
        command = [sys.executable, "-c", KILLED, str(source), seconds]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        acknowledged |= set(done.stdout.splitlines())
    assert acknowledged
    with Store(source) as store:
        store.start()
    with Store(source, read_only=True) as store:
        assert acknowledged <= {row.error for row in store.queries.iterate(Filter(text="needle"))}


def test_folder_that_cannot_be_written(tmp_path):
    """A file that cannot be created is an error that says so."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(StoreError, match="cannot create"):
        Store(tmp_path / "reports.db")
