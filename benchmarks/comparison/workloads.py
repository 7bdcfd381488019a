"""
The calls that are measured. Each workload makes them and returns what it measured itself.

    plain       a question of 2 KB, an answer of 5 KB
    stream      the same question, an answer of 200 chunks
    image       a question with 1 MB of base64
    computing   plain calls beside a thread that computes
    concurrent  bursts of 64 calls at once, answered after 20 ms
"""

from __future__ import annotations

import asyncio
import base64
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from comparison.marks import prompt_mark
from comparison.text import text_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    Asked = dict[str, Any]

CONCURRENT = 64
LATENCY = 0.02
_IMAGE = base64.b64encode(random.Random(1).randbytes(750_000)).decode()  # noqa: S311 - no secret
_SYSTEM = text_at(0, 500)


def asked(workload: str, number: int) -> Asked:
    """Return the arguments of one call; its number is in the question."""
    text = f"{prompt_mark(number)} {text_at(number, 1_500)}"
    content: Any = text
    if workload == "image":
        # Each image is another one, for a tool may send equal ones only once.
        image = f"data:image/png;base64,{number:08d}{_IMAGE}"
        content = [
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": image}},
        ]
    return {
        "model": "gpt-4o-mini",
        "temperature": 0.2,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}],
    }


def plain(client: Any, calls: Iterable[Asked]) -> None:
    for call in calls:
        client.chat.completions.create(**call)


def stream(client: Any, calls: Iterable[Asked]) -> None:
    for call in calls:
        for _chunk in client.chat.completions.create(stream=True, **call):
            pass


def computing(client: Any, calls: Iterable[Asked]) -> None:
    stop = False

    def compute() -> None:
        number = 0
        while not stop:
            number = (number * 3 + 1) % 1_000_003

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        plain(client, calls)
    finally:
        stop = True
        thread.join()


async def concurrent(client: Any, calls: list[Asked]) -> list[float]:
    """Return the seconds that each call took."""

    async def one(call: Asked) -> float:
        begin = time.perf_counter()
        await client.chat.completions.create(**call)
        return time.perf_counter() - begin

    taken: list[float] = []
    for first in range(0, len(calls), CONCURRENT):
        taken += await asyncio.gather(*(one(call) for call in calls[first : first + CONCURRENT]))
    return taken
