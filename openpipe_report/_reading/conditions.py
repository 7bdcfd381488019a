"""Conditions as they can be sent and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report._reading.source import Parameters


def encodable(text: str) -> str:
    """Return a text in which lone surrogates are escapes, as the store has them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def encodable_pairs(where: Parameters) -> list[tuple[str, str]]:
    """Return the names and values of conditions, as of `encodable()`."""
    return [(encodable(name), encodable(value)) for name, value in where.items()]
