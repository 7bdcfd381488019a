"""The texts by which the sink recognizes a call's prompt and its answer."""

import re

ANSWER_MARK = b"peers-answer"
PROMPT_MARK = re.compile(rb"peers-call-(\d{8})")


def prompt_mark(number: int) -> str:
    return f"peers-call-{number:08d}"
