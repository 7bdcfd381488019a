"""Copies of a database that is in use."""

from __future__ import annotations

import itertools
import stat
import threading

import pytest

from openpipe_report.server.store import Store, StoreError


def test_copy(file_store, tmp_path):
    """A copy has all that was stored, also in the `-wal`; only its owner can read it."""
    for number in range(50):
        file_store.add({"tags": {"n": number}}).result()
    copy = tmp_path / "copy.db"
    told = []
    file_store.back_up(copy, progress=lambda *progress: told.append(progress))
    assert told[-1][0] == told[-1][1] > 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with Store(copy, read_only=True) as opened:
        assert [row.metadata for row in opened.recent()] == [{"n": n} for n in range(50)]
    with Store(copy) as opened:
        opened.add({}).result()
        assert opened.count() == 51


def test_copy_beside_writes(file_store, tmp_path):
    """A copy is of one moment, and is complete however much comes meanwhile."""
    filler = "x" * 20_000
    for number in range(500):
        file_store.add({"tags": {"n": number}, "reqPayload": filler})
    file_store.add({"tags": {"n": 500}, "reqPayload": filler}).result()
    stop = threading.Event()

    def add():
        for number in itertools.count(501):
            if stop.is_set():
                return
            file_store.add({"tags": {"n": number}}).result()

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for number in range(3):
            file_store.back_up(tmp_path / f"{number}.db")
    finally:
        stop.set()
        thread.join()
    for number in range(3):
        with Store(tmp_path / f"{number}.db", read_only=True) as opened:
            found = [row.metadata["n"] for row in opened.recent()]
            assert found == list(range(len(found)))
            assert len(found) >= 500


def test_existing_file(file_store, tmp_path):
    """A file is replaced only if that is asked for."""
    copy = tmp_path / "copy.db"
    copy.write_text("other")
    with pytest.raises(StoreError, match=r"copy\.db exists"):
        file_store.back_up(copy)
    assert copy.read_text() == "other"
    file_store.back_up(copy, overwrite=True)
    with Store(copy, read_only=True) as opened:
        assert opened.count() == 0
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="folder exists"):
        file_store.back_up(tmp_path / "folder", overwrite=True)


def test_failed_copy(file_store, tmp_path):
    """A copy that fails leaves no file behind."""

    def fail(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file_store.back_up(tmp_path / "copy.db", progress=fail)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("copy")]
    with pytest.raises(StoreError, match=r"cannot write .*missing"):
        file_store.back_up(tmp_path / "missing" / "copy.db")
    file_store.add({}).result()


def test_copy_of_read_only_store(file_store, path, tmp_path):
    """A store that is opened to read can be copied, beside a receiver that writes."""
    file_store.add({}).result()
    with Store(path, read_only=True) as reader:
        reader.back_up(tmp_path / "copy.db")
    with Store(tmp_path / "copy.db", read_only=True) as opened:
        assert opened.count() == 1


def test_copy_of_server(postgresql, tmp_path):
    """A PostgreSQL database is copied by its own tool."""
    with Store(postgresql) as opened, pytest.raises(StoreError, match="pg_dump"):
        opened.back_up(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
