"""
Reads the query string of a request.

An unknown parameter is refused, as a misspelt filter would otherwise match every report; so is one
that is given twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from openpipe_report.server.errors import ApiError
from openpipe_report.server.parameters import FILTERS, LABEL, LABEL_VALUE, MAX_LABELS
from openpipe_report.server.store.filters import Filter
from openpipe_report.server.store.values import MAX_NAME, storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report.server.parameters import Parameter

_MAX_ISSUES = 20


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
    pairs = _split(query)
    found, issues = _read(pairs, known, list(known))
    _refuse(issues)
    return found


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
    pairs = _split(query)
    labels = {name: value for name, value in pairs if name.startswith(LABEL)}
    known = {**FILTERS, **others, **dict.fromkeys(labels, LABEL_VALUE)}
    found, issues = _read(pairs, known, [*FILTERS, f"{LABEL}NAME", *others])
    if len(labels) > MAX_LABELS:
        issues.append(f"metadata: at most {MAX_LABELS} labels")
    if any(not 0 < len(name) - len(LABEL) <= MAX_NAME for name in labels):
        issues.append(f"{LABEL}NAME: NAME must have 1 to {MAX_NAME} characters")
    _refuse(issues)
    conditions = {name: found.pop(name) for name in FILTERS if name in found}
    metadata = tuple((storable(name.removeprefix(LABEL)), found.pop(name)) for name in labels)
    return Filter(**conditions, metadata=metadata), found


def _split(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


def _read(
    pairs: list[tuple[str, str]], known: Mapping[str, Parameter], names: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the parameters by name, and what is wrong with them."""
    found: dict[str, Any] = {}
    issues: list[str] = []

    def note(name: str, fault: object) -> None:
        issues.append(f"{name[:MAX_NAME]}: {fault}")

    for name, text in pairs:
        if name not in known:
            note(name, f"unknown parameter; there is {', '.join(names) or 'none'}")
        elif name in found:
            note(name, "must be given once")
        else:
            try:
                found[name] = known[name].read(text)
            except ValueError as error:
                note(name, error)
    return found, issues


def _refuse(issues: list[str]) -> None:
    if issues:
        raise ApiError(400, "The query is not valid", tuple(issues[:_MAX_ISSUES]))
