"""
Reads query parameters into a filter: those of a request, and the same ones in a program.

An unknown parameter is refused, as a misspelt filter would otherwise match every report; so is one
that is given twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report.server.parameters import FILTERS, LABEL, LABEL_VALUE, MAX_LABELS
from openpipe_report.server.store.filters import Filter
from openpipe_report.server.store.values import MAX_NAME, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openpipe_report.server.parameters import Parameter

    Pairs = Sequence[tuple[str, str]]
    """Parameters by name."""

_MAX_ISSUES = 20


class ParameterError(ValueError):
    """
    Parameters are wrong.

    Args:
        issues: One line for each that names it and says what it must be.

    """

    def __init__(self, issues: tuple[str, ...]) -> None:
        super().__init__(issues)
        self.issues = issues

    def __str__(self) -> str:
        """Return the issues in one line."""
        return "; ".join(self.issues)


def read_values(pairs: Pairs, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """
    Return the values of parameters that filter nothing, by name.

    Args:
        pairs: The given parameters.
        known: Those that there are.

    Raises:
        ParameterError: One is unknown, wrong or given twice.

    """
    found, issues = _read(pairs, known, list(known))
    _refuse(issues)
    return found


def read_conditions(pairs: Pairs, others: Mapping[str, Parameter]) -> tuple[Filter, dict[str, Any]]:
    """
    Return the filter of some parameters, and the values of the other ones by name.

    Args:
        pairs: The given parameters.
        others: Those that there are beside the conditions.

    Raises:
        ParameterError: As of `read_values()`.

    """
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


def _read(
    pairs: Pairs, known: Mapping[str, Parameter], names: list[str]
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
        raise ParameterError(tuple(issues[:_MAX_ISSUES]))
