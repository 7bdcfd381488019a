"""The real things around a fault: the receiver, an ill-behaved way to it, users' processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from loopback import loopback_server  # noqa: E402
from support.backend import Backend, Post  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Generator

HANG_GUARD = 300.0
"""Seconds after which something counts as hanging."""

BUDGET = 5.0
"""Seconds that an exit may take."""


@dataclass
class Result:
    """One line of the result."""

    fault: str
    must_hold: str
    seen: str
    wrong: list[str] = field(default_factory=list)
    """What does not hold, whatever machine it is."""


def limit(seconds: float, bar: float) -> str:
    """Say how a time compares; a slow machine is no failure."""
    return f"{seconds:.1f} s (at most {bar:g} s: {'held' if seconds <= bar else 'NOT held'})"


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Receiver:
    """`openpipe-report serve` in a process of its own."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.database = folder / f"reports-{self.port}.db"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def start(self) -> None:
        """Return once it takes reports."""
        command = [Path(sys.executable).parent / "openpipe-report", "serve"]
        command += ["--port", str(self.port), "--db", str(self.database)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "the receiver")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the receiver has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(HANG_GUARD)

    def count(self) -> int:
        """How many reports its table has."""
        return int(self._select("SELECT count(*) FROM reports")[0][0])

    def numbers(self) -> Counter[int]:
        """How often each number is in its table: the label `n` of the calls."""
        found = self._select("SELECT json_extract(report, '$.reqPayload.metadata.n') FROM reports")
        return Counter(number for (number,) in found)

    def _select(self, query: str) -> list[tuple[Any, ...]]:
        nothing = [(0,)] if "count" in query else []
        if not self.database.exists():
            return nothing
        with closing(sqlite3.connect(self.database)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'reports'")
            return connection.execute(query).fetchall() if tables.fetchone() else nothing


def compare_numbers(receiver: Receiver, wanted: int | range | set[int]) -> tuple[int, list[str]]:
    """How many of the wanted are there, and what is wrong with the rest."""
    numbers = set(range(wanted)) if isinstance(wanted, int) else set(wanted)
    found = receiver.numbers()
    missing = numbers - set(found)
    twice = [number for number, times in found.items() if times > 1]
    wrong = []
    if missing:
        wrong.append(f"{len(missing)} missing, {sorted(missing)[:5]} among them")
    if twice:
        wrong.append(f"{len(twice)} twice, {sorted(twice)[:5]} among them")
    return len(numbers) - len(missing), wrong


def until(is_true: Any, what: str) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + HANG_GUARD
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {HANG_GUARD:g} s")
        time.sleep(0.01)


class User:
    """A process of a user; its stdin, stdout and stderr are pipes."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("OPENPIPE_")},
        )

    def line(self) -> Any:
        """The next line that it prints, which is JSON."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            _, errors = self.process.communicate(timeout=HANG_GUARD)
            raise RuntimeError(f"the process ended with {self.process.returncode}: {errors}")
        return json.loads(text)

    def go_on(self) -> None:
        """Let it go on from where it waits for a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[list[str], list[str]]:
        """Wait for its end: the lines that it printed since, and those of its stderr."""
        output, errors = self.process.communicate(timeout=HANG_GUARD)
        return output.splitlines(), errors.splitlines()


class FaultyProxy(Backend):
    """Between a user and the receiver: a real server that passes reports on, as `answer` says."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver
        self._client = httpx.Client(limits=httpx.Limits(max_connections=64), trust_env=False)
        self.answer = self.forward

    def forward(self, post: Post) -> tuple[int, bytes, dict[str, str]]:
        """Pass a report on, and the receiver's answer back."""
        names = ("content-type", "idempotency-key", "authorization")
        headers = {name: post.headers[name] for name in names if name in post.headers}
        url = f"{self._receiver.base_url}/report"
        answer = self._client.post(url, content=post.body, headers=headers, timeout=HANG_GUARD)
        return answer.status_code, answer.content, {}

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self._client.close()


@dataclass
class Environment:
    """An OpenAI, a receiver that is not started yet, and a folder."""

    openai: str
    receiver: Receiver
    folder: Path
    users: list[User] = field(default_factory=list)

    def options(self, reporter: dict[str, Any] | None = None, **options: Any) -> str:
        """What a process is told: to call this OpenAI, and to report to this receiver."""
        there = {"base_url": self.receiver.base_url, **(reporter or {})}
        return json.dumps({"openai": f"{self.openai}/v1", "reporter": there, **options})

    def user(self, name: str, **options: Any) -> User:
        """Start a process that runs one of `program.py`'s functions."""
        return self.start([str(ROOT / "faults" / "program.py"), name, self.options(**options)])

    def start(self, command: list[str]) -> User:
        """Start a process that does not outlive this environment."""
        self.users.append(User(command))
        return self.users[-1]


@contextmanager
def make_environment() -> Generator[Environment]:
    """Set it up, and clean it away."""
    with (
        tempfile.TemporaryDirectory(prefix="openpipe-report-faults-") as folder,
        loopback_server() as openai,
    ):
        place = Environment(openai, Receiver(Path(folder)), Path(folder))
        try:
            yield place
        finally:
            for user in place.users:
                user.process.kill()
            place.receiver.stop()
