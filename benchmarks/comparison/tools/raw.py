"""Bare openai that posts the bytes of each request once with httpx: a floor for any tool."""

from __future__ import annotations

from typing import Any

from comparison.tool import Tool

IMPORTS: tuple[str, ...] = ()


def set_up(sink: str) -> Tool:
    import httpx
    import openai

    client = httpx.Client(headers={"content-type": "application/json"})
    url = f"{sink}/api/v1/report"

    class Posting:
        """A transport that posts what it is given before another one answers it."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def handle_request(self, request: Any) -> Any:
            client.post(url, content=request.read()).raise_for_status()
            return self._inner.handle_request(request)

        def close(self) -> None:
            client.close()

    return Tool(openai.OpenAI, openai.AsyncOpenAI, wrap=Posting)
