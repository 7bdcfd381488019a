"""Reads the query string of a request."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from openpipe_report.server.conditions import ParameterError, read_conditions, read_values
from openpipe_report.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from openpipe_report.server.parameters import Parameter
    from openpipe_report.server.store import Filter


def read_parameters(query: bytes, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """
    Read the query string of a request that filters nothing.

    Args:
        query: The part of the URL after `?`.
        known: The parameters by name.

    Returns:
        The values of the given parameters by name.

    Raises:
        ApiError: 400; each issue names a parameter and what it must be.

    """
    with _refused():
        return read_values(_split(query), known)


def read_filter(query: bytes, others: Mapping[str, Parameter]) -> tuple[Filter, dict[str, Any]]:
    """
    Read the query string of a request that filters reports.

    Args:
        query: The part of the URL after `?`.
        others: The parameters beside the conditions, by name.

    Returns:
        The conditions, and the values of the other given parameters by name.

    Raises:
        ApiError: As of `read_parameters()`.

    """
    with _refused():
        return read_conditions(_split(query), others)


def _split(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


@contextlib.contextmanager
def _refused() -> Generator[None, None, None]:
    try:
        yield
    except ParameterError as error:
        raise ApiError(400, "The query is not valid", error.issues) from None
