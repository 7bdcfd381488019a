"""A PostgreSQL server of the tests' own, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

MISSING = "no PostgreSQL server is installed: `make postgresql` installs it for the tests"
QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""For tests that do not crash the machine."""
_USER = "nobody"


def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`: the newest one that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise RuntimeError(MISSING)
    return Path(on_path).resolve().parent


class Server:
    """
    A server on a free port and on a socket in a folder of its own, in which all its files are.

    It runs as another user if the tests run as root, which PostgreSQL refuses.
    """

    def __init__(self, *options: str) -> None:
        self._programs = find_programs()
        self._options = options
        self._numbers = count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="openpipe-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        user = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
        self._as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}
        self._as_user = self._as_user and {**self._as_user, "extra_groups": []}
        if user is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._run(
            *("initdb", "-D", self._data, "-U", "tests", "-A", "scram-sha-256", "--no-sync"),
            *("-E", "UTF8", "--locale=C", "--pwfile", self._password_file()),
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str, password: str = "secret-word") -> str:
        """Return the URL of a database, by TCP."""
        return f"postgresql+psycopg://tests:{password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Create a database as a copy of another one; return its name."""
        name = f"reports_{next(self._numbers)}"
        with psycopg.connect(to_libpq(self.url("postgres")), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def start(self) -> None:
        """Start the server; returns once it accepts connections."""
        self.port = self.port or _free_port()
        command = [
            *(self._programs / "postgres", "-D", self._data, "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"),
            *("-c", "max_connections=200", "-c", "shared_buffers=64MB", *self._options),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, **self._as_user
            )
        self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), retry=True)

    def stop(self, *, immediately: bool = True) -> None:
        """Stop the server, as a crash does or in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self._folder)

    def _password_file(self) -> Path:
        path = self._folder / "password"
        path.write_text("secret-word\n")
        path.chmod(0o644)
        return path

    def _run(self, program: str, *arguments: object, retry: bool = False) -> None:
        command = [self._programs / program, *map(str, arguments)]
        while True:
            done = subprocess.run(
                command,
                check=False,
                cwd=self._folder,
                capture_output=True,
                text=True,
                **self._as_user,
            )
            if done.returncode == 0:
                return
            if not retry or self._process is None or self._process.poll() is not None:
                log = self._folder / "log"
                raise RuntimeError(done.stderr + (log.read_text() if log.exists() else ""))


def to_libpq(url: str) -> str:
    """Return a URL as psycopg itself takes it."""
    return url.replace("+psycopg", "")


@contextmanager
def running_server(*options: str):
    """Run a server for the block."""
    server = Server(*options)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
