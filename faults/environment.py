"""The environment of a fault: the receiver, a faulty proxy before it, users' processes."""

from __future__ import annotations

import json
import os
import re
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
from support.backend import OK, Backend, Post  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Generator

HANG_GUARD = 300.0
"""Seconds after which a step is taken to hang."""

BUDGET = 5.0
"""Seconds that an exit may take: the default `exit_timeout`."""


@dataclass
class Result:
    """One row of the table of results."""

    fault: str
    must_hold: str
    seen: str
    wrong: list[str] = field(default_factory=list)
    """Violations that no slow machine can explain."""


def held(is_held: bool) -> str:  # noqa: FBT001 - a question and its answer
    """Say whether a limit is held; one that is not is shown, but is no failure."""
    return "held" if is_held else "NOT held"


def limit(seconds: float, bar: float) -> str:
    """Format a time and its limit."""
    return f"{seconds:.1f} s (at most {bar:g} s: {held(seconds <= bar)})"


def logged_as_lost(errors: list[str]) -> int:
    """Add up the losses that a process has logged on its stderr."""
    found = [re.search(r"openpipe_report: (\d+) report\(s\) .* lost", line) for line in errors]
    return sum(int(one[1]) for one in found if one)


def free_port() -> int:
    """Return a port on which no server listens."""
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
        """Start the process; return when it accepts connections."""
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

    def kill(self) -> None:
        """Kill the process as `kill -9` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(HANG_GUARD)

    def count(self) -> int:
        """Return the number of stored reports."""
        return int(self._select("SELECT count(*) FROM reports")[0][0])

    def numbers(self) -> Counter[int]:
        """Count the stored reports by the label `n`, the number of the call."""
        found = self._select(
            "SELECT json_extract(report, '$.reqPayload.metadata.n') FROM raw_reports"
        )
        return Counter(number for (number,) in found)

    def _select(self, query: str) -> list[tuple[Any, ...]]:
        nothing = [(0,)] if "count" in query else []
        if not self.database.exists():
            return nothing
        with closing(sqlite3.connect(self.database)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'reports'")
            return connection.execute(query).fetchall() if tables.fetchone() else nothing


def compare_numbers(
    found: Counter[int], wanted: int | range | set[int], *, counted_as_lost: int = 0
) -> tuple[int, list[str]]:
    """
    Compare the numbers of stored reports with those of the calls.

    Args:
        found: How often each number is stored.
        wanted: Each of the calls, or how many there are.
        counted_as_lost: How many may be missing, because the process has said so.

    Returns:
        How many of the wanted numbers are stored, and what is wrong.
    """
    numbers = set(range(wanted)) if isinstance(wanted, int) else set(wanted)
    missing = numbers - set(found)
    twice = [number for number, times in found.items() if times > 1]
    wrong = []
    if len(missing) != counted_as_lost:
        wrong.append(
            f"{len(missing)} missing, {counted_as_lost} counted as lost, {sorted(missing)[:5]} "
            "among them"
        )
    if twice:
        wrong.append(f"{len(twice)} twice, {sorted(twice)[:5]} among them")
    return len(numbers) - len(missing), wrong


def until(is_true: Any, what: str) -> None:
    """Poll until a condition holds; `what` names it in the error."""
    deadline = time.monotonic() + HANG_GUARD
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {HANG_GUARD:g} s")
        time.sleep(0.01)


class User:
    """A user's process, whose stdin, stdout and stderr are pipes."""

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
        """Read the next line of stdout, which is JSON."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            _, errors = self.process.communicate(timeout=HANG_GUARD)
            raise RuntimeError(f"the process ended with {self.process.returncode}: {errors}")
        return json.loads(text)

    def go_on(self) -> None:
        """Write a line to stdin, for which the process waits."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[list[str], list[str]]:
        """Wait for the process to end; return the rest of its stdout and its stderr, as lines."""
        output, errors = self.process.communicate(timeout=HANG_GUARD)
        return output.splitlines(), errors.splitlines()


class Sink(Backend):
    """A server that keeps the numbers of the reports it takes, and fails as long as it is told."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.found: Counter[int] = Counter()
        """How often each number was taken."""
        self.arrived: list[float] = []
        """When each attempt arrived (monotonic)."""
        self._failing = answer
        self.answer = self._answer

    def _answer(self, post: Post) -> Any:
        self.posts.clear()  # thousands of them
        self.arrived.append(time.monotonic())
        failing = self._failing
        return self.take(post) if failing is None else failing(post)

    def take(self, post: Post) -> tuple[int, bytes, dict[str, str]]:
        """Acknowledge a report."""
        self.found[post.report["reqPayload"]["metadata"]["n"]] += 1
        return OK

    def recover(self) -> None:
        """Fail no more."""
        self._failing = None


class FaultyProxy(Backend):
    """A real server between a user and the receiver, whose `answer` forwards reports or fails."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver
        self._client = httpx.Client(limits=httpx.Limits(max_connections=64), trust_env=False)
        self.answer = self.forward

    def forward(self, post: Post) -> tuple[int, bytes, dict[str, str]]:
        """Forward a report, and return the receiver's answer."""
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
    """An OpenAI server, a receiver that is not started yet, and a folder."""

    openai: str
    receiver: Receiver
    folder: Path
    users: list[User] = field(default_factory=list)

    def options(self, reporter: dict[str, Any] | None = None, **options: Any) -> str:
        """Return the options of `program.py`: this OpenAI server and this receiver, as JSON."""
        target = {"base_url": self.receiver.base_url, **(reporter or {})}
        return json.dumps({"openai": f"{self.openai}/v1", "reporter": target, **options})

    def user(self, name: str, **options: Any) -> User:
        """Start a process that runs a function of `program.py`."""
        return self.start([str(ROOT / "faults" / "program.py"), name, self.options(**options)])

    def start(self, command: list[str]) -> User:
        """Start a process, which is killed with this environment."""
        self.users.append(User(command))
        return self.users[-1]


@contextmanager
def make_environment() -> Generator[Environment]:
    """Set up an environment and tear it down."""
    with (
        tempfile.TemporaryDirectory(prefix="openpipe-report-faults-") as folder,
        loopback_server() as openai,
    ):
        environment = Environment(openai, Receiver(Path(folder)), Path(folder))
        try:
            yield environment
        finally:
            for user in environment.users:
                user.process.kill()
            environment.receiver.stop()
