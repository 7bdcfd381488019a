"""
What leaves the process: pictures are elided, and addresses, secrets and a pattern of your own.

    python examples/redaction.py

The hook gets each report before disk and network. If it raises, the report is dropped and counted:
what could not be redacted is never sent.
"""

from __future__ import annotations

import re

from openpipe_report import OpenAI, Report, Reporter, chain, elide_media, mask_keys

CARD = re.compile(r"\b(?:\d[ -]?){13,16}\b")


def mask_cards(report: Report) -> Report:
    """Mask what looks like a card number in the messages of a request."""
    payload = dict(report.reqPayload)
    payload["messages"] = [
        {**message, "content": CARD.sub("[card]", message["content"])}
        if isinstance(message["content"], str)
        else message
        for message in payload.get("messages", [])
    ]
    return report.model_copy(update={"reqPayload": payload})


reporter = Reporter(
    before_report=chain(elide_media, mask_keys("email", pattern=r"(?i)token|secret"), mask_cards)
)

with OpenAI(reporter=reporter) as client:
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Is 4111 1111 1111 1111 a valid card number?"}],
        max_tokens=24,
        metadata={"email": "ada@example.org", "example": "redaction"},
    )
    print(completion.choices[0].message.content)
