"""
Redaction of reports: media are elided, secrets masked by key, card numbers by a hook of your own.

    python examples/redaction.py

The hook gets each report before it is written to disk or sent. If the hook raises, the report is
dropped and counted, never sent unredacted.
"""

from __future__ import annotations

import re
from typing import Any

from openpipe_report import OpenAI, Report, Reporter, chain, elide_media, mask_keys

CARD = re.compile(r"\b(?:\d[ -]?){13,16}\b")


def mask_cards(report: Report) -> Report:
    """Mask digits in the format of a card number, in any string of the payloads."""
    names = report.model_fields_set & {"reqPayload", "respPayload"}
    payloads = {name: mask(getattr(report, name)) for name in names}
    return report.model_copy(update=payloads)


def mask(value: Any) -> Any:
    """Mask a JSON value with all its members."""
    if isinstance(value, str):
        return CARD.sub("[card]", value)
    if isinstance(value, dict):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


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
