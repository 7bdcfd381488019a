"""
A script that loses no report however it ends: a file has each report before it is sent.

    python examples/script_with_spool.py

Kill the script (`kill -9`) or stop the receiver: the folder `spool` keeps the undelivered reports.
The next run delivers them, and so does `openpipe-report resend --spool spool`.
"""

from __future__ import annotations

from openpipe_report import OpenAI, Reporter

reporter = Reporter(spool="spool")

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
