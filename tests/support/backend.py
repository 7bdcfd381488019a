"""A real server for the API on loopback that answers as it is told."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openpipe_report
from openpipe_report import Report

HANG_GUARD = 60
"""Seconds after which a test counts as hanging; nothing here takes a tenth of it."""

OK = (200, b'{"status":"ok"}', {})
MATCHED = (200, b'{"matchedLogs":1}', {})
UPDATE = "/api/v1/logs/update-metadata"


@dataclass(frozen=True)
class Post:
    """One attempt as the server saw it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def report(self):
        return json.loads(self.body)

    @property
    def label(self):
        return self.report["reqPayload"]["label"]

    @property
    def key(self):
        return self.headers["idempotency-key"]


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST) after these bytes of an answer."""

    sent: bytes = b""


class Made:
    """A source of a report with a label."""

    trace_id = None

    def __init__(self, label="a", size=100, **fields):
        self.size = size
        self.fields = {"reqPayload": {"label": label}, **fields}

    def discard_if_succeeded(self):
        return False

    def build(self, sent=None):
        return Report(**self.fields)


def take(post):
    """Take reports and changes of labels."""
    return MATCHED if post.path == UPDATE else OK


class Backend:
    """
    Serves until the `with` is left.

    `answer` maps a Post to status, body and headers, or to a Reset; None closes the connection
    without an answer. Where `resets_unread` says so of a request's headers, the connection is
    reset before the body is read.
    """

    def __init__(self):
        self.posts: list[Post] = []
        self.connections = 0
        self.answer = take
        self.resets_unread = lambda headers: False
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                backend.connections += 1

            def do_POST(self):
                if backend.resets_unread(self.headers):
                    self.reset()
                    return
                length = int(self.headers["content-length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                if len(body) < length:  # a client that went away
                    self.close_connection = True
                    return
                post = Post(self.path, headers, body)
                backend.posts.append(post)
                answer = backend.answer(post)
                self.close_connection = answer is None
                if answer is None:
                    return
                if isinstance(answer, Reset):
                    self.wfile.write(answer.sent)
                    self.reset()
                    return
                status, body, more = answer
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in more.items()]
                self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)
                self.close_connection = more.get("X-Hang-Up") == "1"

            def reset(self):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a client that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self._server.server_port}/api/v1"

    @property
    def updates(self):
        """The changes of labels that were posted, in their order."""
        return [json.loads(post.body) for post in self.posts if post.path == UPDATE]

    @property
    def labels(self):
        return sorted(post.label for post in self.posts)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


PRELUDE = """
import atexit, asyncio, multiprocessing, os, sys, threading
from support.backend import Made
from openpipe_report import Reporter

reporter = Reporter(base_url=sys.argv[1])
"""


def script_environment():
    """The environment in which a process finds this package and the helpers of the tests."""
    folders = (Path(openpipe_report.__file__).parents[1], Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def run_script(base_url, script, *arguments):
    """Run a script, given as text or as a path, in a process of its own."""
    start = [script] if isinstance(script, Path) else ["-c", PRELUDE + script]
    return subprocess.run(
        [sys.executable, "-W", "error", *start, base_url, *arguments],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=HANG_GUARD,
        check=False,
    )
