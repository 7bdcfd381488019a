"""
The format `dpo`: OpenAI's files for direct preference optimization.

`{"input": {"messages": [...], "tools": [...], "parallel_tool_calls": bool}, "preferred_output":
[message], "non_preferred_output": [message]}`. A corrected answer is preferred to the one that the
model gave. Of answers to the same input, one that was judged `up` is preferred to one that was
judged `down`; each answer is in one pair at the most. An answer waits for its counterpart in
memory, as JSON: the prompt does not, and the oldest ones give way where there are too many.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING

from openpipe_report._export.calls import read_answer, read_correction, read_prompt
from openpipe_report._export.chat_validator import find_preference_fault
from openpipe_report._export.formats import Item
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import get_text
from openpipe_report._export.writing import LineWriter, encode_line
from openpipe_report._report.feedback_labels import DOWN, FEEDBACK, UP
from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.counts import Counts
    from openpipe_report._export.prompt import Prompt
    from openpipe_report._export.values import Json
    from openpipe_report._export.writing import Sink, Writer

MAX_WAITING_BYTES = 64 * 2**20
"""Most bytes of the answers that wait for a counterpart."""

_OTHER = {UP: DOWN, DOWN: UP}


class Preferences:
    """Pairs of answers to one prompt."""

    def __init__(self, counts: Counts, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._counts = counts
        self._left = max_waiting_bytes
        self._waiting: dict[tuple[bytes, str], deque[bytes]] = {}

    def convert(self, row: Row) -> list[Item]:
        """Return the pair that a judged or corrected answer completes."""
        judged = get_text(get_object(row.get("metadata")).get(FEEDBACK)) or ""
        correction = read_correction(row)
        if correction is None and judged not in _OTHER:
            raise LeftOutError(Reason.NOT_JUDGED)
        answer, prompt = read_answer(row), read_prompt(row)
        if correction is not None:
            if correction == answer:
                raise LeftOutError(Reason.SAME_ANSWER)
            return self._pair(prompt, correction, answer, rows=1)
        encoded, key = encode_line(answer), prompt.hash_input()
        other = self._take((key, _OTHER[judged]), encoded)
        if other is None:
            self._keep((key, judged), encoded)
            return []
        preferred, rejected = (answer, other) if judged == UP else (other, answer)
        return self._pair(prompt, preferred, rejected, rows=2)

    def finish(self) -> None:
        """Count the answers that have found no counterpart."""
        unpaired = sum(map(len, self._waiting.values()))
        if unpaired:
            self._counts.left_out[Reason.UNPAIRED.value] += unpaired

    def open(self, sink: Sink) -> Writer:
        """Return the writer of a file."""
        return LineWriter(sink)

    def _pair(self, prompt: Prompt, preferred: Json, rejected: Json, rows: int) -> list[Item]:
        line = {
            "input": {"messages": prompt.messages, **prompt.options()},
            "preferred_output": [preferred],
            "non_preferred_output": [rejected],
        }
        if fault := find_preference_fault(line):
            self._counts.left_out[f"not valid: {fault}"] += rows
            return []
        return [Item(line, prompt, rows)]

    def _take(self, key: tuple[bytes, str], unlike: bytes) -> Json | None:
        """Take the first waiting answer that is not the same."""
        waiting = self._waiting.get(key, deque())
        for index, encoded in enumerate(waiting):
            if encoded != unlike:
                del waiting[index]
                self._left += len(encoded)
                if not waiting:
                    del self._waiting[key]
                return get_object(json.loads(encoded))
        return None

    def _keep(self, key: tuple[bytes, str], encoded: bytes) -> None:
        self._waiting.setdefault(key, deque()).append(encoded)
        self._left -= len(encoded)
        while self._left < 0:
            oldest = next(iter(self._waiting))
            self._left += len(self._waiting[oldest].popleft())
            if not self._waiting[oldest]:
                del self._waiting[oldest]
            self._counts.left_out[Reason.NO_ROOM.value] += 1
