"""Reasons for which a report is left out of an export."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Why a report is left out, in words for the person who exports."""

    OTHER_ENDPOINT = "no chat completion, response or completion"
    FAILED = "failed"
    UNFINISHED = "unfinished"
    CUT = "cut at the token limit"
    REFUSED = "refused or filtered"
    NO_ANSWER = "empty answer"
    NO_PROMPT = "prompt not in the report"
    SHORTENED = "shortened when it was recorded"
    UNSUPPORTED = "content that the format cannot hold, such as audio or built-in tools"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    NOT_JUDGED = "no feedback"
    UNPAIRED = "no answer to the same prompt was judged otherwise"
    NO_ROOM = "more answers without a counterpart than fit into memory"
    SAME_ANSWER = "the other answer is the same"


class LeftOutError(Exception):
    """
    A report cannot be exported.

    Args:
        reason: A `Reason`, or the rule of the format that the report breaks.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason.value if isinstance(reason, Reason) else reason
