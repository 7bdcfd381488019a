"""
The filter in force: the query string of a page, whose names are the API's.

A form sends every field, the empty ones too, and a label's name apart from its value. Such a query
is answered with a redirect to the one that says the same, so that each view has one URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from openpipe_report.server.parameters import FILTERS, LABEL
from openpipe_report.server.query_string import read_filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from openpipe_report.server.page.links import Pairs
    from openpipe_report.server.parameters import Parameter
    from openpipe_report.server.store.filters import Filter

LABEL_NAME = "label_name"
"""The field of a form that has the name of a label."""
LABEL_VALUE = "label_value"


class FilterInForce(NamedTuple):
    """The filter of one request."""

    wanted: Filter
    pairs: Pairs
    """The filter as pairs of a query string, without the parameters that are no conditions."""
    others: dict[str, Any]
    """The values of the other parameters by name."""

    def get(self, name: str) -> str:
        """Return what the query says of a condition; empty if it says nothing."""
        return next((value for key, value in self.pairs if key == name), "")


def read_filter_in_force(request: Request, others: Mapping[str, Parameter]) -> FilterInForce:
    """
    Read the filter of a request.

    Args:
        request: A request, the query of which may have conditions of the API.
        others: The parameters beside the conditions, by name.

    Raises:
        ApiError: 400, as `read_filter()`.

    """
    query: bytes = request.scope["query_string"]
    wanted, found = read_filter(query, others)
    pairs = tuple((name, value) for name, value in _split(query) if is_condition(name))
    return FilterInForce(wanted, pairs, found)


def tidy(request: Request) -> Pairs | None:
    """Return the query that says the same as one of a form; None if it is tidy already."""
    pairs = _split(request.scope["query_string"])
    tidied = tuple(_tidied(pairs))
    return None if tidied == tuple(pairs) else tidied


def is_condition(name: str) -> bool:
    """Whether a parameter is a condition on reports."""
    return name in FILTERS or name.startswith(LABEL)


def _tidied(pairs: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    fields = dict(pairs)
    name = fields.get(LABEL_NAME, "").strip()
    new = (f"{LABEL}{name}", fields.get(LABEL_VALUE, ""))
    for key, value in pairs:
        if key in {LABEL_NAME, LABEL_VALUE} or (name and key == new[0]):
            continue
        if key.startswith(LABEL) or value.strip():
            yield key, value
    if name:
        yield new


def _split(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)
