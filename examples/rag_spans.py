"""
Spans in a small retrieval pipeline. The search, the answer and the call inside are one trace.

    python examples/rag_spans.py

Each span has a report with its arguments, its result and its duration. `openpipe-report logs` lists
them beside the call; the tags `$trace_id` and `$parent_span_id` connect them.
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
    """Return the words of a text in lower case."""
    return set(re.findall(r"\w+", text.lower()))


@span("score")
def score(question: str, note: str) -> float:
    """Return the share of the question's words that a note has."""
    return len(words(question) & words(note)) / len(words(question))


@span("search", metadata={"index": "notes"})
def search(question: str, count: int = 2) -> list[str]:
    """Find the best notes; `with_context` makes the span known in the threads of the pool."""
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(with_context(score), [question] * len(NOTES), NOTES))
    best = sorted(zip(scores, NOTES, strict=True), reverse=True)
    return [note for _, note in best[:count]]


@span("answer", tags={"pipeline": "rag"})
def answer(client: OpenAI, question: str) -> str:
    """Answer the question from the notes that were found."""
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
