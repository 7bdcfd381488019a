"""
A script that must not lose a report, whatever ends it: they are in a file before they are sent.

    python examples/script_with_spool.py

Kill it (`kill -9`) or take the receiver away: what was not delivered is in `reports.spool`, and the
next run delivers it, as does `openpipe-report resend --spool reports.spool`.
"""

from __future__ import annotations

from openpipe_report import OpenAI, Reporter

reporter = Reporter(spool="reports.spool")

with OpenAI(reporter=reporter) as client:
    for number in range(3):
        completion = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": f"Write a line about the number {number}."}],
            max_tokens=24,
            metadata={"example": "spool", "number": str(number)},
        )
        print(completion.choices[0].message.content)

flushed = reporter.flush(timeout=10)
print(f"delivered: {bool(flushed)} {flushed.reason}")
