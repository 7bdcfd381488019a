"""
A streamed answer: the caller reads chunks as usual, and the report has the whole completion.

    python examples/streaming.py
"""

from __future__ import annotations

from openpipe_report import OpenAI

with (
    OpenAI() as client,
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count from one to ten."}],
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
        metadata={"example": "streaming"},
    ) as stream,
):
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
print()
