"""
The search index in PostgreSQL: the words of each report as a tsvector, in its transaction.

The words are ours, not those of a text search configuration: what is found must not depend on the
database, nor on a language. They are folded and split as FTS5 does on the SQLite side.

A word with a hyphen, and a run of a script without spaces, are phrases: their parts must be
neighbours. A tsvector keeps 16,383 positions, 255 of a word; a text with more has none, and is
marked, and there the parts of a phrase may be anywhere.
"""

from __future__ import annotations

import unicodedata
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
    from collections.abc import Sequence

    from sqlalchemy import Connection

MAX_POSITION = 16_383
MAX_OCCURRENCES = 255
MAX_BYTES = 900_000
"""Bytes of all different words of a report; those that come after them are not found."""
MAX_WORD = 500
"""Characters that are compared of a word. PostgreSQL takes 2,046 bytes."""
MAX_PHRASE = 150
"""Parts of a phrase that count; the others are left out."""

_UNPLACED = "~"
"""Marks a text without positions. It is no word: a word has letters, digits and marks."""
_KEPT = ("L", "N", "M", "Co")


class _Separated(dict[int, str]):
    """A table for `str.translate()` that makes all that is no part of a word a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = unicodedata.category(character).startswith(_KEPT)
        self[code] = character if kept else " "
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
    """Return a text's words, and the pairs of its unspaced runs, as the text of a tsvector."""
    spaced, pairs = split_text(text)
    words = [*_split(spaced), *pairs.lower().split()]
    places: dict[str, list[int]] = {}
    for position, word in enumerate(words, 1):
        places.setdefault(word, []).append(position)
    if (
        len(words) > MAX_POSITION
        or max(map(len, places.values()), default=0) > MAX_OCCURRENCES
        or sum(map(len, places)) > MAX_BYTES // 4
    ):
        return " ".join(map(_quote, [_UNPLACED, *_within(places)]))
    return " ".join(f"{_quote(word)}:{','.join(map(str, at))}" for word, at in places.items())


def to_query(searched: str) -> str:
    """Return the text of a tsquery that has all terms of a search; empty if there is none."""
    terms: list[str] = []
    for term in split_search(searched):
        if not term.is_unspaced:
            terms += _phrase(_split(term.text))
        elif len(term.text) == 1:
            terms.append(f"{_quote(term.text.lower())}:*")
        else:
            terms += _phrase(pairs_of(term.text.lower())[:-1])
    return " & ".join(terms)


def _phrase(words: Sequence[str]) -> list[str]:
    quoted = [_quote(word) for word in words[:MAX_PHRASE]]
    if len(quoted) < 2:  # noqa: PLR2004
        return quoted
    anywhere = " & ".join([_quote(_UNPLACED), *quoted])
    return [f"({' <-> '.join(quoted)} | {anywhere})"]


def _split(text: str) -> list[str]:
    return [word[:MAX_WORD] for word in fold(text).translate(_separated).split()]


def _within(places: dict[str, list[int]]) -> list[str]:
    """Return the first words that fit into a tsvector."""
    room = MAX_BYTES
    found: list[str] = []
    for word in places:
        room -= len(word.encode())
        if room < 0:
            break
        found.append(word)
    return found


def _quote(word: str) -> str:
    return "'{}'".format(word.replace("\\", "\\\\").replace("'", "''"))
