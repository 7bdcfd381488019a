"""
Spans in a small retrieval pipeline: search, answer, and the call inside are one trace.

    python examples/rag_spans.py

Each span is a report with its input, its result and its time; `openpipe-report logs` shows them
beside the call, the tags `$trace_id` and `$parent_span_id` say what belongs to what.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from openpipe_report import OpenAI, span, with_context

NOTES = [
    "The Danube rises in the Black Forest and flows into the Black Sea.",
    "The Rhine flows through Basel, Cologne and Rotterdam.",
    "The Volga is the longest river in Europe.",
    "Lake Ladoga is the largest lake in Europe.",
]


def words(text: str) -> set[str]:
    """Take the words of a text, in lower case."""
    return set(re.findall(r"\w+", text.lower()))


@span("score")
def score(question: str, note: str) -> float:
    """How much of the question is in a note."""
    return len(words(question) & words(note)) / len(words(question))


@span("search", metadata={"index": "notes"})
def search(question: str, count: int = 2) -> list[str]:
    """Find the best notes; threads of a pool are told what they work for."""
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(with_context(score), [question] * len(NOTES), NOTES))
    best = sorted(zip(scores, NOTES, strict=True), reverse=True)
    return [note for _, note in best[:count]]


@span("answer", tags={"pipeline": "rag"})
def answer(client: OpenAI, question: str) -> str:
    """Answer from what was found."""
    notes = "\n".join(search(question))
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": f"Answer from these notes:\n{notes}"},
            {"role": "user", "content": question},
        ],
        max_tokens=40,
    )
    return completion.choices[0].message.content or ""


with OpenAI() as client:
    print(answer(client, "Which is the longest river in Europe?"))
