"""Clients, sync and async, that a test uses in one way."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import Any

import httpx
import openai

import openpipe_report


def httpx_of_openai():
    """The httpx that openai itself uses: httpx2 from openai 3 on."""
    name = "httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx"
    return importlib.import_module(name)


BROKEN_STREAM = (openai.APIConnectionError, httpx.TransportError, httpx_of_openai().TransportError)
"""What reading a stream raises when its connection breaks: openai wraps it since 3.1."""


class Caller:
    """A client, sync or async, used in one way."""

    def __init__(self, kind: str, *, package: Any = openpipe_report, **arguments: Any) -> None:
        self.is_async = kind == "async"
        self.name = arguments.pop("cls", "OpenAI")
        cls = getattr(package, f"Async{self.name}" if self.is_async else self.name)
        arguments = {"api_key": "sk-test", "max_retries": 0, **arguments}
        self.client = cls(**arguments)
        self.loop = asyncio.new_event_loop() if self.is_async else None

    def run(self, value: Any) -> Any:
        """The value, awaited if it is to be."""
        if inspect.isawaitable(value):
            assert self.loop is not None
            return self.loop.run_until_complete(_await(value))
        return value

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its dotted name."""
        target: Any = self.client
        for name in method.split("."):
            target = getattr(target, name)
        return self.run(target(*args, **kwargs))

    def iterate(self, stream: Any) -> list[Any]:
        """Read a stream to its end."""
        if self.is_async:
            return self.run(_collect(stream))
        return list(stream)

    def next(self, stream: Any) -> Any:
        return self.run(stream.__anext__()) if self.is_async else next(stream)

    def enter(self, manager: Any) -> Any:
        return self.run(manager.__aenter__()) if self.is_async else manager.__enter__()

    def leave(self, manager: Any, error: BaseException | None = None) -> Any:
        details = (type(error) if error else None, error, None)
        if self.is_async:
            return self.run(manager.__aexit__(*details))
        return manager.__exit__(*details)

    def close(self) -> None:
        self.run(self.client.close())
        if self.loop is not None:
            for _ in range(10):  # generators that were left are closed by tasks of the loop's
                self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


async def _await(value: Any) -> Any:
    return await value


async def _collect(stream: Any) -> list[Any]:
    return [item async for item in stream]
