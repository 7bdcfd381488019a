"""
Comparison: two reports side by side, what is the same and what differs.

Messages are put beside each other as the messages of two versions of a conversation: those that are
equal first, then what stands between them in order.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report.server.differences import Part, Sides, compare
from openpipe_report.server.page.conversation.turns import read_conversation
from openpipe_report.server.page.turn_text import to_text, turn_to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openpipe_report.server.page.conversation.parts import Conversation, Turn
    from openpipe_report.server.store import StoredReport

MAX_TURNS = 100
"""Most messages of a prompt or an answer that are compared; of more, the last ones."""
MAX_TEXT = 20_000
"""Characters of one text that are compared."""
MAX_ALL = 300_000
"""Characters of all texts of a page."""


class Side(NamedTuple):
    """One of two reports."""

    row: StoredReport
    report: dict[str, Any]
    """The report as it was posted, or as much of it as can be shown."""


class Pair(NamedTuple):
    """Two texts beside each other; one may be missing."""

    title: str
    sides: Sides
    has_left: bool
    has_right: bool
    is_cut: bool
    """Whether there is more text than is compared."""

    @property
    def is_equal(self) -> bool:
        """Whether both are there and equal, as far as they are compared."""
        return self.has_left and self.has_right and self.sides.are_equal


class Comparison(NamedTuple):
    """What two reports have, in pairs."""

    parameters: list[Pair]
    asked: list[Pair]
    answered: list[Pair]
    left_out: int
    """Messages that are not compared."""


def compare_reports(left: Side, right: Side) -> Comparison:
    """Compare the parameters, prompts and answers of two reports."""
    budget = _Budget()
    talks = [read_conversation(side.report, side.row.endpoint) for side in (left, right)]
    asked = [[_to_said(turn) for turn in talk.asked] for talk in talks]
    answered = [[_to_said(turn) for turn in talk.answered] for talk in talks]
    for side, said in zip((left, right), answered, strict=True):
        if side.row.error:
            said.append(_Said("error", side.row.error))
    many = [*asked, *answered]
    # Answers first: they may use up what a page shows.
    of_answers = list(_pair_turns(budget, *answered))
    return Comparison(
        parameters=list(_pair_parameters(budget, *talks)),
        asked=list(_pair_turns(budget, *asked)),
        answered=of_answers,
        left_out=sum(max(len(turns) - MAX_TURNS, 0) for turns in many),
    )


class _Said(NamedTuple):
    role: str
    text: str


class _Budget:
    """The characters that one page may still show."""

    def __init__(self) -> None:
        self._left = MAX_ALL

    def pair(self, title: str, left: str | None, right: str | None) -> Pair:
        most = max(min(MAX_TEXT, self._left // 2), 200)
        shown = [(text or "")[:most] for text in (left, right)]
        self._left -= sum(map(len, shown))
        is_cut = any(len(text or "") > most for text in (left, right))
        return Pair(title, _compare(*shown), left is not None, right is not None, is_cut)


def _compare(left: str, right: str) -> Sides:
    if not (left and right):  # one side alone is no difference within a text
        return Sides(*([Part(text, is_different=True)] if text else [] for text in (left, right)))
    return compare(left, right)


def _to_said(turn: Turn) -> _Said:
    return _Said(turn.role, turn_to_text(turn))


def _pair_turns(budget: _Budget, left: Sequence[_Said], right: Sequence[_Said]) -> Iterator[Pair]:
    left, right = left[-MAX_TURNS:], right[-MAX_TURNS:]
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for _tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for place in range(max(i2 - i1, j2 - j1)):
            one = left[i1 + place] if i1 + place < i2 else None
            other = right[j1 + place] if j1 + place < j2 else None
            roles = dict.fromkeys(said.role for said in (one, other) if said)
            yield budget.pair(" / ".join(roles), one and one.text, other and other.text)


def _pair_parameters(budget: _Budget, left: Conversation, right: Conversation) -> Iterator[Pair]:
    values = [_parameters(talk) for talk in (left, right)]
    for name in sorted({*values[0], *values[1]}):
        yield budget.pair(name, *(to_text(of[name]) if name in of else None for of in values))


def _parameters(talk: Conversation) -> dict[str, Any]:
    found = dict(talk.parameters)
    if talk.tools:
        found["tools"] = talk.tools
    if talk.response_format is not None:
        found["response_format"] = talk.response_format
    return found
