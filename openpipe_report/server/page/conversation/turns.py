"""A whole report to a conversation."""

from __future__ import annotations

from typing import Any

from openpipe_report.server.page.conversation.answers import read_answer
from openpipe_report.server.page.conversation.messages import place_results
from openpipe_report.server.page.conversation.parts import Conversation
from openpipe_report.server.page.conversation.requests import (
    read_format,
    read_parameters,
    read_request,
    read_tools,
)


def read_conversation(report: dict[str, Any], endpoint: str | None) -> Conversation:
    """
    Return a report as a conversation.

    Args:
        report: The report as it was posted.
        endpoint: The endpoint that it is of, as `StoredReport` names it.

    """
    asked, answered = report.get("reqPayload"), report.get("respPayload")
    return Conversation(
        asked=place_results(read_request(asked, endpoint)),
        answered=place_results(read_answer(answered, endpoint)),
        parameters={} if endpoint == "span" else read_parameters(asked),
        tools=read_tools(asked),
        response_format=read_format(asked),
    )
