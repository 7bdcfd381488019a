"""A server for /report in this process, behind an httpx client, that answers as it is told."""

from __future__ import annotations

import threading

import httpx
from support.backend import HANG_GUARD
from support.timing import timed_reporter

from openpipe_report._delivery.channel import DEFAULT_TIMING

URL = "http://receiver.test/api/v1"


class Server:
    """An httpx client whose server answers as it is told."""

    def __init__(self, answer=lambda request: 200):
        self.answer = answer
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request):
        self.keys.append(request.headers["Idempotency-Key"])
        self.bodies.append(request.content)
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(answer, json={"status": "ok"} if answer == 200 else None)


class Gate:
    """Answers 200, but not before it is opened; says when the first request has come."""

    def __init__(self):
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request):
        self.reached.set()
        assert self.opened.wait(HANG_GUARD)
        return 200


def make(server, timing=DEFAULT_TIMING, **settings):
    settings.setdefault("base_url", URL)
    return timed_reporter(timing, http_client=server.client, **settings)
