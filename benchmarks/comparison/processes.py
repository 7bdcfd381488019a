"""The processes of the variants: long-lived workers, and scripts that end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from comparison.variants import BENCHMARKS, Variant, interpreter_of

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

TIMEOUT = 300.0
"""Seconds after which a worker that does not answer has failed."""

_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE")
"""Variables that a variant's process inherits; settings of the tools are not among them."""


def environment() -> dict[str, str]:
    """Return the variables of a variant's process."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


class WorkerError(Exception):
    """A variant's process ended, or did not answer in time."""


class Process:
    """A variant's process, and the lines that it prints."""

    def __init__(self, variant: Variant, script: str, *arguments: str) -> None:
        self.variant = variant
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own scripts
            [interpreter_of(variant), "-m", f"comparison.{script}", variant.module, *arguments],
            cwd=BENCHMARKS,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: Queue[str | None] = Queue()
        Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def ask(self, **command: Any) -> dict[str, float]:
        """Send a command and return the answer."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(command), file=self._process.stdin, flush=True)
        return json.loads(self.line(TIMEOUT))

    def line(self, timeout: float) -> str:
        """Return the next line that the process prints."""
        try:
            line = self._lines.get(timeout=timeout)
        except Empty:
            raise WorkerError(f"{self.variant.name}: no answer in {timeout:.0f} s") from None
        if line is None:
            self._process.wait()
            raise WorkerError(f"{self.variant.name} ended:\n{self.errors()}")
        return line

    def ended(self, timeout: float) -> float | None:
        """Wait for the end; return the monotonic time of it, or None if it did not come."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic()

    def errors(self) -> str:
        """Return the end of what the process wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2_000:]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()


def versions_of(variant: Variant) -> dict[str, str]:
    """Return the versions that are shown for a variant, openai's among them."""
    script = (
        "import json, sys; from importlib.metadata import version\n"
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    names = dict.fromkeys(["openai", *variant.shown])
    run = subprocess.run(  # noqa: S603 - our own script
        [interpreter_of(variant), "-c", script, *names], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)
