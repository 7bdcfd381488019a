"""
Libraries on our client, between two real servers: the scripted OpenAI and one for reports.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

import openpipe_report
from integrations.scripted_model import REFUSAL
from openpipe_report import flush, metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from support.backend import Backend
    from support.scripted_openai import Request, ScriptedOpenAI

    from integrations.scripted_model import ScriptedModel

ROOT = Path(__file__).parents[2]
MODEL = "gpt-4o-mini"
LABELS = {"user": "u1"}


@dataclass
class Desk:
    """The two servers, and what passed through them."""

    openai: ScriptedOpenAI
    backend: Backend
    model: ScriptedModel
    monkeypatch: pytest.MonkeyPatch
    seen: int = field(default=0)

    def observe(self, call: Callable[[], Any]) -> tuple[Any, list[Request], list[Any]]:
        """The result of a call, the requests that it sent, and what was reported of it."""
        first = len(self.openai.requests)
        result = call()
        assert flush(timeout=30)
        reports = [post.report for post in self.backend.posts[self.seen :]]
        self.seen += len(reports)
        return result, self.openai.requests[first:], reports

    def check(self, call: Callable[[Any], Any], *, requests: int | None = 1) -> Any:
        """
        Hold a call with our client to the same call with openai's own.

        The result and each request are the same, to the byte; each request is reported once, as
        it was sent and answered, with the labels around the call.

        Args:
            call: Called with the package to take the client from: `openai`, `openpipe_report`.
            requests: How many requests it takes; None for any number from 2.

        Returns:
            The call's result.
        """
        bare, bare_requests, none = self.observe(lambda: call(openai))
        assert none == []
        with metadata(**LABELS):
            ours, our_requests, reports = self.observe(lambda: call(openpipe_report))
        assert ours == bare
        assert len(our_requests) == requests or (requests is None and len(our_requests) > 1)
        assert [seen(request) for request in our_requests] == [seen(one) for one in bare_requests]
        self.check_reports(our_requests, reports)
        return ours

    def check_refusal(self, call: Callable[[Any], Any]) -> None:
        """
        A refused call raises what it raises with openai's client, and is reported.

        Args:
            call: As for `check()`.
        """
        self.model.refuses = True

        def fail(package: Any) -> tuple[str, str]:
            try:
                call(package)
            except Exception as error:  # noqa: BLE001 - each library has its own
                return type(error).__name__, str(error)
            raise AssertionError("it did not fail")

        bare, bare_requests, _ = self.observe(lambda: fail(openai))
        ours, our_requests, reports = self.observe(lambda: fail(openpipe_report))
        assert ours == bare
        assert [seen(request) for request in our_requests] == [seen(one) for one in bare_requests]
        assert [report["statusCode"] for report in reports] == [400] * len(our_requests)
        for report in reports:
            assert report["respPayload"] == REFUSAL
            assert report["errorMessage"] == REFUSAL["error"]["message"]

    def check_reports(
        self, requests: list[Request], reports: list[Any], labels: dict[str, Any] = LABELS
    ) -> None:
        """Each request is reported once, whole, with its labels."""
        bodies = [request.json() for request in requests]
        added = {"metadata": labels} if labels else {}
        whole = [({**body, **added}, self.model.answer(body)) for body in bodies]
        reported = [(report["reqPayload"], report["respPayload"]) for report in reports]
        assert in_order(reported) == in_order(whole)
        assert {report["statusCode"] for report in reports} == {200}
        assert not any("errorMessage" in report for report in reports)

    def labels_of_stream(self, start: Callable[[], Any]) -> str:
        """Which labels a stream has: those around its "start", or those around its "reading"."""

        def read_sync(stream: Any) -> None:
            with metadata(user="reading"):
                list(stream)

        async def read_async(stream: Any) -> None:
            with metadata(user="start"):
                stream = await stream if inspect.isawaitable(stream) else stream
            with metadata(user="reading"):
                async for _ in stream:
                    pass

        def call() -> None:
            with metadata(user="start"):
                stream = start()
            if hasattr(stream, "__iter__"):
                read_sync(stream)
            else:
                run(read_async(stream))

        _, _, [report] = self.observe(call)
        return report["reqPayload"]["metadata"]["user"]

    def run_page(self, name: str, **labels: Any) -> list[Request]:
        """Run the lines of a page as they are pasted; its calls are reported with the labels."""
        text = (ROOT / "docs" / "integrations" / f"{name}.md").read_text()
        [snippet] = re.findall(r"<!-- run -->\n```python\n(.*?)```", text, re.DOTALL)
        code = compile(snippet, f"{name}.md", "exec")
        _, requests, reports = self.observe(lambda: exec(code, {"__name__": "__main__"}))
        assert requests
        self.check_reports(requests, reports, labels)
        return requests

    def check_real(self, base_url: str, call: Callable[[str], str]) -> None:
        """
        One call to the local model gives one report, with the answer that the caller got.

        Args:
            base_url: The local model's.
            call: Called with the model's name; returns the text of the answer.
        """
        self.monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        with metadata(**LABELS):
            text, _, reports = self.observe(lambda: call("smollm2-135m-instruct"))
        [report] = reports
        assert report["statusCode"] == 200
        assert report["reqPayload"]["metadata"] == LABELS
        assert text.strip()
        assert text in texts_of(report["respPayload"])
        assert self.openai.requests == []


_loop = asyncio.new_event_loop()


def run(awaitable: Any) -> Any:
    """
    Await something; always on the same loop, which stays open.

    Libraries keep clients for longer than a call, and close them when they are collected.
    """
    return _loop.run_until_complete(awaitable)


def seen(request: Request) -> Any:
    """What a server can see of a request."""
    return request.method, request.target, request.headers, request.body


def in_order(pairs: list[Any]) -> list[Any]:
    """Reports may overtake each other."""
    return sorted(pairs, key=lambda pair: json.dumps(pair, sort_keys=True))


def texts_of(answer: Any) -> list[str]:
    """The texts in an answer, of a chat completion or a response."""
    if "choices" in answer:
        return [choice["message"]["content"] for choice in answer["choices"]]
    parts = [part for item in answer["output"] for part in item.get("content") or ()]
    return [part["text"] for part in parts]
