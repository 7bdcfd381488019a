"""
The format `openai-chat`: OpenAI's files for supervised fine-tuning.

`{"messages": [...], "tools": [...], "parallel_tool_calls": bool}`, or `functions` in the place of
`tools`. Each line has passed `chat_validator`. `response_format` is kept, unless it is to be left
out: OpenAI's published schema does not have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._export.calls import read_example
from openpipe_report._export.chat_validator import find_chat_fault
from openpipe_report._export.formats import Item
from openpipe_report._export.reasons import LeftOutError
from openpipe_report._export.writing import LineWriter

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.prompt import Example
    from openpipe_report._export.values import Json
    from openpipe_report._export.writing import Sink, Writer


class OpenAIChat:
    """Examples for supervised fine-tuning."""

    def __init__(self, *, response_format: bool = True) -> None:
        self._response_format = response_format

    def convert(self, row: Row) -> list[Item]:
        """Return the example of a call, if it is whole and valid."""
        example = read_example(row)
        line = self._to_line(example)
        if fault := find_chat_fault(line, response_format=self._response_format):
            raise LeftOutError(f"not valid: {fault}")
        return [Item(line, example.prompt)]

    def finish(self) -> None:
        """Do nothing: no row is kept."""

    def open(self, sink: Sink) -> Writer:
        """Return the writer of a file."""
        return LineWriter(sink)

    def _to_line(self, example: Example) -> Json:
        prompt = example.prompt
        line: Json = {"messages": [*prompt.messages, example.answer], **prompt.options()}
        if self._response_format and prompt.response_format:
            line["response_format"] = prompt.response_format
        return line
