"""
The search index in SQLite: FTS5, or plain text where SQLite is built without it.

The index is filled after the commit of the reports, in batches, for it takes as long as all the
rest. `search_state` has the id of the last report that is in it, so that it is completed after a
crash, and by a build with FTS5 for a file that had none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    column,
    false,
    func,
    literal_column,
    select,
    table,
    text,
)

from openpipe_report.server.store.dialects import upsert
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.search_text import derive_text
from openpipe_report.server.store.search_tokens import (
    fold,
    normalize,
    pairs_of,
    split_search,
    split_text,
)
from openpipe_report.server.store.tables import raw_reports, reports, search_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
_OPTIONS = {"hashsize": 16 * 2**20, "automerge": 8}
"""Of FTS5: bytes in memory before a part of the index is written, and parts before a merge."""


class SearchIndex(Protocol):
    """A kind of search index. `name` is its row in `search_state`, if it follows the commits."""

    name: str
    follows: bool
    """Whether it is filled after the commit of the reports, not in their transaction."""

    def create(self, connection: Connection) -> None:
        """Create its table if it is missing."""
        ...

    def entry(self, text: str) -> Any:
        """Return what the index has of a text. Needs no database."""
        ...

    def add(self, connection: Connection, entries: Sequence[tuple[int, Any]]) -> None:
        """Add the entries of reports, by id, in ascending order."""
        ...

    def remove(self, connection: Connection, texts: Sequence[tuple[int, str]]) -> None:
        """Remove reports, by id and with the texts that were added."""
        ...

    def source(self, searched: str) -> tuple[Any, ColumnElement[int], ColumnElement[bool]]:
        """Return the table to search, its column of report ids, and the condition."""
        ...


class FullTextIndex:
    """FTS5 without the texts themselves: words in one column, pairs of characters in the other."""

    name = "fts5"
    follows = True
    _table = table("report_search", column("rowid", Integer), column("words"), column("pairs"))

    def create(self, connection: Connection) -> None:
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE IF NOT EXISTS report_search USING "
            f'fts5(words, pairs, content="", tokenize="{_TOKENIZER}")'
        )
        for option in _OPTIONS.items():
            connection.exec_driver_sql(
                "INSERT INTO report_search(report_search, rank) VALUES (?, ?)", option
            )

    def entry(self, text: str) -> tuple[str, str]:
        return split_text(text)

    def add(self, connection: Connection, entries: Sequence[tuple[int, tuple[str, str]]]) -> None:
        rows = [(report_id, *entry) for report_id, entry in entries]
        connection.exec_driver_sql(
            "INSERT INTO report_search(rowid, words, pairs) VALUES (?, ?, ?)", rows
        )

    def remove(self, connection: Connection, texts: Sequence[tuple[int, str]]) -> None:
        rows = [("delete", report_id, *split_text(found)) for report_id, found in texts]
        connection.exec_driver_sql(
            "INSERT INTO report_search(report_search, rowid, words, pairs) VALUES (?, ?, ?, ?)",
            rows,
        )

    def source(self, searched: str) -> tuple[Any, ColumnElement[int], ColumnElement[bool]]:
        terms = [_to_query(term.text, term.is_unspaced) for term in split_search(searched)]
        if not terms:
            return self._table, self._table.c.rowid, false()
        found = literal_column("report_search").op("MATCH")(" AND ".join(terms))
        return self._table, self._table.c.rowid, found


class PlainTextIndex:
    """The texts without case and diacritics, searched with LIKE. Slow, and in every build."""

    name = "plain"
    follows = True
    _table = Table(
        "search_texts",
        MetaData(),  # not of the tables that every file has
        Column("report_id", Integer, primary_key=True, autoincrement=False),
        Column("text", Text, nullable=False),
    )

    def create(self, connection: Connection) -> None:
        self._table.create(connection, checkfirst=True)

    def entry(self, text: str) -> str:
        return fold(normalize(text))

    def add(self, connection: Connection, entries: Sequence[tuple[int, str]]) -> None:
        rows = [{"report_id": one, "text": entry} for one, entry in entries]
        connection.execute(self._table.insert(), rows)

    def remove(self, connection: Connection, texts: Sequence[tuple[int, str]]) -> None:
        ids = [report_id for report_id, _ in texts]
        connection.execute(self._table.delete().where(self._table.c.report_id.in_(ids)))

    def source(self, searched: str) -> tuple[Any, ColumnElement[int], ColumnElement[bool]]:
        terms = [fold(term.text) for term in split_search(searched)]
        found = [self._table.c.text.contains(term, autoescape=True) for term in terms]
        return self._table, self._table.c.report_id, and_(*found) if found else false()


def choose_index(connection: Connection, *, full_text: bool | None = None) -> SearchIndex:
    """Return the index that this build can use; `full_text=False` is one without FTS5."""
    if full_text is None:
        query = text("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'")
        full_text = bool(connection.execute(query).scalar_one())
    return FullTextIndex() if full_text else PlainTextIndex()


def prepare_index(connection: Connection, index: SearchIndex) -> None:
    """Create the index and its row in `search_state`, if they are missing."""
    index.create(connection)
    row = {"name": index.name, "indexed_to": 0}
    if index.follows:
        connection.execute(upsert(connection, search_state).values(row).on_conflict_do_nothing())


def index_next(
    connection: Connection, index: SearchIndex, limit: int, known: dict[int, str]
) -> int:
    """
    Index the next reports that are not in the index, in the current transaction.

    Args:
        connection: A connection inside a transaction that may write.
        index: The index.
        limit: Most reports to index.
        known: Texts by id, if they are in memory; those of indexed reports are removed. The others
            are derived from the stored report.

    Returns:
        How many were indexed; 0 if the index is complete.

    """
    state = search_state.c.name == index.name
    done = connection.execute(select(search_state.c.indexed_to).where(state)).scalar_one()
    newer = select(reports.c.id).where(reports.c.id > done).order_by(reports.c.id).limit(limit)
    ids = connection.execute(newer).scalars().all()
    if not ids:
        known.clear()  # of reports that were erased
        return 0
    raw = {one for one in ids if one not in known}
    texts = {one: known[one] for one in ids if one not in raw}
    if raw:
        query = select(raw_reports).where(raw_reports.c.report_id.in_(raw))
        for report_id, report in connection.execute(query):
            texts[report_id] = derive_text(json.loads(report))
    index.add(connection, [(one, index.entry(texts[one])) for one in ids if one in texts])
    connection.execute(search_state.update().where(state).values(indexed_to=ids[-1]))
    for one in [one for one in known if one <= ids[-1]]:
        del known[one]
    return len(ids)


def remove_from_index(
    connection: Connection, index: SearchIndex, texts: Sequence[tuple[int, str]]
) -> None:
    """Remove reports from all search indexes of the database, in the current transaction."""
    if not index.follows:
        index.remove(connection, texts)
        return
    done = dict(map(tuple, connection.execute(select(search_state)).all()))
    for one in (FullTextIndex(), PlainTextIndex()):
        indexed = [pair for pair in texts if pair[0] <= done.get(one.name, 0)]
        if not indexed:
            continue
        if one.name == FullTextIndex.name != index.name:
            raise StoreError(
                "this Python's SQLite has no FTS5, and the search index of the file needs it: "
                "erase with the Python that the receiver runs on"
            )
        one.remove(connection, indexed)


def count_missing(connection: Connection, index: SearchIndex) -> int:
    """Return about how many reports are not in the index yet."""
    if not index.follows:
        return 0
    state = search_state.c.name == index.name
    done = connection.execute(select(search_state.c.indexed_to).where(state)).scalar() or 0
    newest = connection.execute(select(func.max(reports.c.id))).scalar() or 0
    return max(newest - done, 0)


def _to_query(term: str, is_unspaced: bool) -> str:  # noqa: FBT001 - a field of Term
    # In double quotes FTS5 takes everything as text; a quote inside is doubled.
    if not is_unspaced:
        return 'words : "{}"'.format(term.replace('"', '""'))
    if len(term) == 1:
        return f'pairs : "{term}" *'
    return 'pairs : "{}"'.format(" ".join(pairs_of(term)[:-1]))
