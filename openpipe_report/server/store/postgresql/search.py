"""
The search index in PostgreSQL: the words of each report as a tsvector, in its transaction.

The words are ours, not those of a text search configuration: what is found must not depend on the
database, nor on a language. They are folded and split as FTS5 does on the SQLite side.

Positions are left out: a tsvector keeps 16,383 of them, 255 of a word, and they take most of the
time. Neighbours are words of their own instead: the parts of `gpt-4o` are `gpt`, `4o` and `gpt~4o`,
and a run of a script without spaces is each two and each three neighbours.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    MetaData,
    Table,
    cast,
    false,
    literal,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from openpipe_report.server.store.bulk import BulkInsert
from openpipe_report.server.store.search_tokens import (
    fold,
    pairs_of,
    split_search,
    split_text,
)
from openpipe_report.server.store.tables import reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

MAX_BYTES = 900_000
"""Bytes of all different words of a report; those that come after them are not found."""
MAX_WORD = 500
"""Characters that are compared of a word. PostgreSQL takes 2,046 bytes."""
MAX_NEIGHBOURS = 150
"""Neighbours of one term that a search compares."""

_JOINT = "~"
"""Stands for what is between two parts of a word. Words have letters, digits and marks only."""
_KEPT = ("L", "N", "M", "Co")
_PAIR = 2


class _Separated(dict[int, str]):
    """A table for `str.translate()`: what is no part of a word is a joint, or stays a space."""

    def __missing__(self, code: int) -> str:
        one = chr(code)
        kept = one.isspace() or unicodedata.category(one).startswith(_KEPT)
        self[code] = one if kept else _JOINT
        return self[code]


_separated = _Separated()


class VectorIndex:
    """A row of words for each report, with a GIN index."""

    name = "tsvector"
    follows = False
    _table = Table(
        "report_search",
        MetaData(),  # not of the tables that every database has
        Column(
            "report_id",
            BigInteger,
            ForeignKey(reports.c.id, ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("words", TSVECTOR, nullable=False),
        Index("ix_report_search_words", "words", postgresql_using="gin"),
    )
    _insert = BulkInsert(_table)

    def create(self, connection: Connection) -> None:
        self._table.create(connection, checkfirst=True)

    def entry(self, text: str) -> str:
        return to_vector(text)

    def add(self, connection: Connection, entries: Sequence[tuple[int, str]]) -> None:
        rows = [{"report_id": one, "words": entry} for one, entry in entries]
        self._insert.execute(connection, rows)

    def remove(self, connection: Connection, texts: Sequence[tuple[int, str]]) -> None:
        ids = [report_id for report_id, _ in texts]
        connection.execute(self._table.delete().where(self._table.c.report_id.in_(ids)))

    def source(self, searched: str) -> tuple[Any, ColumnElement[int], ColumnElement[bool]]:
        query = to_query(searched)
        found: ColumnElement[bool] = false()
        if query:
            found = self._table.c.words.bool_op("@@")(cast(literal(query), TSQUERY))
        return self._table, self._table.c.report_id, found


def to_vector(text: str) -> str:
    """Return a text's words, and the neighbours of its unspaced runs, as a tsvector's text."""
    spaced, pairs = split_text(text)
    words = _split(spaced)
    if pairs:
        of_runs = pairs.lower().split()
        words += [*of_runs, *_triples(of_runs)]
    found = dict.fromkeys(words)
    return " ".join(found if sum(map(len, found)) <= MAX_BYTES // 4 else _within(found))


def to_query(searched: str) -> str:
    """Return the text of a tsquery that has all terms of a search; empty if there is none."""
    terms: list[str] = []
    for term in split_search(searched):
        if not term.is_unspaced:
            terms += map(_quote, _split(term.text)[:MAX_NEIGHBOURS])
        elif len(term.text) == 1:
            terms.append(f"{_quote(term.text.lower())}:*")
        else:
            pairs = pairs_of(term.text.lower())[:-1]
            terms += map(_quote, (_triples(pairs) or pairs)[:MAX_NEIGHBOURS])
    return " & ".join(terms)


def _split(text: str) -> list[str]:
    """Return the words of a text, and those neighbours that no space sets apart."""
    joined = fold(text).translate(_separated)
    words: list[str] = []
    for chunk in dict.fromkeys(joined.split()):
        if _JOINT in chunk:
            parts = [part[:MAX_WORD] for part in chunk.split(_JOINT) if part]
            words += [*parts, *(f"{one}{_JOINT}{other}" for one, other in pairwise(parts))]
        else:
            words.append(chunk)
    return [word[:MAX_WORD] for word in words]


def _triples(pairs: Sequence[str]) -> list[str]:
    # The last pair of a run is a single character.
    return [one + other[1] for one, other in pairwise(pairs) if len(one) == len(other) == _PAIR]


def _within(words: Iterable[str]) -> list[str]:
    """Return the first words that fit into a tsvector."""
    room = MAX_BYTES
    found: list[str] = []
    for word in words:
        room -= len(word.encode())
        if room < 0:
            break
        found.append(word)
    return found


def _quote(word: str) -> str:
    return "'{}'".format(word.replace("\\", "\\\\").replace("'", "''"))
