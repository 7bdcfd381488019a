"""
Every kind of call. Only the import differs from a program that uses openai.

Each call is reported to OPENPIPE_BASE_URL while the program goes on. To run it by hand:

    openpipe-report serve                                         # in one terminal
    export OPENPIPE_BASE_URL=http://127.0.0.1:8417/api/v1         # in another terminal
    export OPENAI_API_KEY=...
    python examples/quickstart.py
    openpipe-report logs

`make demo` does all of this; without an API key it uses a small model on this machine.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

from pydantic import BaseModel

# was: from openai import OpenAI, ...
from openpipe_report import AsyncOpenAI, BadRequestError, OpenAI, flush, metadata, span

MODEL = os.environ.get("QUICKSTART_MODEL") or "gpt-4o-mini"
COMPLETION_MODEL = os.environ.get("QUICKSTART_COMPLETION_MODEL") or "gpt-3.5-turbo-instruct"
CITIES = ["Lisbon", "Nairobi", "Osaka", "Lima", "Oslo"]


def plain(client: OpenAI) -> Any:
    """`metadata` labels the report and is not sent to OpenAI in this call."""
    completion = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name the capital of France."}],
        max_tokens=30,
        metadata={"demo": "plain", "user": "u-42"},
    )
    print(f"  {completion.choices[0].message.content}")
    return completion


def streamed(client: OpenAI) -> dict[str, Any]:
    """The report has the whole answer, like that of an unstreamed call."""
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Count from one to ten."}],
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
        metadata={"demo": "streamed"},
    )
    text, finish_reason, usage = "", None, None
    print("  ", end="")
    for chunk in stream:
        for choice in chunk.choices:
            piece = choice.delta.content or ""
            print(piece.replace("\n", " "), end="", flush=True)
            text += piece
            finish_reason = choice.finish_reason or finish_reason
        usage = chunk.usage or usage
    print()
    return {"text": text, "finish_reason": finish_reason, "usage": usage}


class Review(BaseModel):
    sentiment: Literal["positive", "negative", "neutral"]
    recommends: bool


def parsed(client: OpenAI) -> Any:
    """`parse` returns a pydantic object; the report has its JSON schema and its JSON."""
    completion = client.chat.completions.parse(
        model=MODEL,
        messages=[
            {
                "role": "user",
                "content": "Is this review positive? I love this coffee, it is great!",
            }
        ],
        response_format=Review,
        max_tokens=60,
        metadata={"demo": "parsed"},
    )
    print(f"  {completion.choices[0].message.parsed!r}")
    return completion


def responses(client: OpenAI) -> Any:
    """The Responses API has a `metadata` of its own, so it is also sent to OpenAI."""
    response = client.responses.create(
        model=MODEL,
        input="Say hello.",
        max_output_tokens=40,
        metadata={"demo": "responses"},
    )
    print(f"  {response.output_text}")
    return response


def completed(client: OpenAI) -> Any:
    """A legacy completion has no argument `metadata`; a block labels the calls inside it."""
    with metadata(demo="completed"):
        completion = client.completions.create(
            model=COMPLETION_MODEL, prompt="Once upon a time,", max_tokens=16
        )
    print(f"  Once upon a time,{completion.choices[0].text!r}")
    return completion


async def fan_out() -> list[Any]:
    """Make five concurrent calls."""
    async with AsyncOpenAI() as client:
        completions = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": f"{city} is a city of which country?"}],
                    max_tokens=16,
                    metadata={"demo": "fan-out", "city": city},
                )
                for city in CITIES
            )
        )
    for city, completion in zip(CITIES, completions, strict=True):
        print(f"  {city}: {completion.choices[0].message.content}")
    return completions


def failing(client: OpenAI) -> BadRequestError | None:
    """A failed call raises openai's exception and is reported with its status and message."""
    message: Any = {"role": "user"}  # no content
    try:
        client.chat.completions.create(
            model=MODEL, messages=[message], metadata={"demo": "failing"}
        )
    except BadRequestError as error:
        print(f"  {type(error).__name__}: {error}")
        return error
    return None


def spanned(client: OpenAI) -> dict[str, Any]:
    """A span has a report of its own and shares its `$trace_id` with the calls inside it."""
    task = {"task": "name a bakery and praise it"}
    with span("bakery", request=task, metadata={"demo": "spanned"}) as work:
        name = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Suggest a name for a bakery."}],
            max_tokens=24,
        )
        praise = client.chat.completions.create(
            model=MODEL,
            messages=[
                {
                    "role": "user",
                    "content": f"Write a sentence about {name.choices[0].message.content}",
                }
            ],
            max_tokens=16,
        )
        work.response = {"praise": praise.choices[0].message.content}
    print(f"  {work.response['praise']}")
    return {"calls": [name, praise], "response": work.response}


def main() -> dict[str, Any]:
    """Make the calls; return their results by name."""
    steps = {
        "plain": plain,
        "streamed": streamed,
        "parsed": parsed,
        "responses": responses,
        "completed": completed,
        "fan-out": lambda _: asyncio.run(fan_out()),
        "failing": failing,
        "spanned": spanned,
    }
    got: dict[str, Any] = {}
    with OpenAI() as client:
        for number, (name, step) in enumerate(steps.items(), 1):
            print(f"[{number}/{len(steps)}] {name}", flush=True)
            got[name] = step(client)
    # Not needed at exit, which delivers the pending reports; it is for programs that go on.
    flushed = flush(timeout=30)
    if not flushed:
        print(f"not every report was delivered: {flushed}")
    return got


if __name__ == "__main__":
    main()
