"""URLs of views, with the filter in force as their query."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable

Pairs = tuple[tuple[str, str], ...]
"""A query string as names and values, in order."""


def url_with(path: str, pairs: Iterable[tuple[str, str]] = (), **others: object) -> str:
    """Return a path with a query; `others` are added, those that are None left out."""
    given = [(name, str(value)) for name, value in others.items() if value is not None]
    query = urlencode([*pairs, *given], errors="replace")
    return f"{path}?{query}" if query else path


def with_value(pairs: Pairs, name: str, value: str) -> Pairs:
    """Return pairs in which a name has this value alone."""
    return (*without(pairs, name), (name, value))


def without(pairs: Pairs, *names: str) -> Pairs:
    """Return pairs without these names."""
    return tuple(pair for pair in pairs if pair[0] not in names)


def path_of(prefix: str, identifier: object) -> str:
    """Return the path of a report or trace, by its id."""
    return f"{prefix}/{quote(str(identifier), safe='', errors='replace')}"
