"""
Many concurrent calls: each has a report of its own, with the labels of the block that makes it.

    python examples/async_fan_out.py
"""

from __future__ import annotations

import asyncio

from openpipe_report import AsyncOpenAI, metadata

CITIES = ["Lisbon", "Nairobi", "Osaka", "Lima", "Oslo"]


async def ask(client: AsyncOpenAI, city: str) -> str:
    """Ask about one city; a task has the labels of the block that created it."""
    with metadata(city=city):
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": f"{city} is a city of which country?"}],
            max_tokens=16,
        )
    return completion.choices[0].message.content or ""


async def main() -> None:
    """Ask about all cities."""
    with metadata(example="fan-out"):
        async with AsyncOpenAI() as client:
            answers = await asyncio.gather(*(ask(client, city) for city in CITIES))
    for city, answer in zip(CITIES, answers, strict=True):
        print(f"{city}: {answer}")


asyncio.run(main())
