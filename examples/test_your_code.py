"""
A test of your own code with `captured_reports()`, which collects reports instead of sending them.

    pytest examples/test_your_code.py

httpx's MockTransport takes the place of OpenAI; any other mock works as well.
"""

from __future__ import annotations

import httpx

from openpipe_report import OpenAI, metadata
from openpipe_report.testing import captured_reports

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris"},
            "finish_reason": "stop",
        }
    ],
}


def capital_of(client: OpenAI, country: str) -> str | None:
    """Stand in for your own code."""
    with metadata(feature="geography"):
        completion = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": f"The capital of {country}?"}],
        )
    return completion.choices[0].message.content


def test_capital() -> None:
    """The call is made as expected and reported with its label."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER))
    with (
        captured_reports() as reports,
        OpenAI(api_key="sk-test", http_client=httpx.Client(transport=transport)) as client,
    ):
        assert capital_of(client, "France") == "Paris"
        [report] = reports
    assert report.errorMessage is None
    assert report.reqPayload["metadata"] == {"feature": "geography"}
    assert report.respPayload == ANSWER
