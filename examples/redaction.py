"""
Redaction of reports: media, secrets by key and by form, and whole reports by a hook of your own.

    python examples/redaction.py

The hook gets each report before it is written to disk or sent. If the hook raises, the report is
dropped and counted, never sent unredacted.
"""

from __future__ import annotations

from openpipe_report import (
    OpenAI,
    Report,
    Reporter,
    chain,
    elide_media,
    mask_keys,
    mask_values,
)


def drop_tests(report: Report) -> Report | None:
    """Keep the calls of tests from being sent."""
    payload = report.reqPayload
    labels = payload.get("metadata", {}) if isinstance(payload, dict) else {}
    return None if labels.get("env") == "test" else report


# mask_values masks e-mail addresses, card numbers, bearer tokens and API keys in any text.
reporter = Reporter(
    before_report=chain(
        drop_tests, elide_media, mask_keys("user_name", pattern=r"(?i)token|secret"), mask_values
    )
)

with OpenAI(reporter=reporter) as client:
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Is 4111 1111 1111 1111 a valid card number?"}],
        max_tokens=24,
        metadata={"email": "ada@example.org", "user_name": "Ada", "example": "redaction"},
    )
    print(completion.choices[0].message.content)
