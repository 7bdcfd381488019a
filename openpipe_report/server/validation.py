"""
Parses and checks the body of a request, or names every field that is wrong.

The rules are the API's: JSON of RFC 8259 in UTF-8, the fields of a pydantic model and no others,
finite numbers. An error names the place and the rule, and never quotes the body.
"""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import ValidationError

from openpipe_report._report.json_codec import MAX_DEPTH, is_too_deep
from openpipe_report._report.model import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

_MAX_NAME = 100
_MAX_ISSUES = 100
_AT_ONCE = 1_000
_NULL = "must not be null; leave the field out"
_NUMBER = "must be a finite number"
_TAG = "must be a string, a finite number, a boolean or null"
TAG = "must be a string, a finite number, a boolean or null"
"""Rule of a value of `tags`."""

REPORT_RULES = {
    "requestedAt": _NUMBER,
    "receivedAt": _NUMBER,
    "statusCode": _NUMBER,
    "errorMessage": "must be a string",
    "tags": "must be an object",
    "tags.*": TAG,
}
"""Rules of the fields of a report; `*` stands for any name in an object or place in an array."""


class BadBodyError(ValueError):
    """
    A request body is not what its path takes.

    Args:
        message: The error in one sentence.
        issues: One line for each wrong field: its path and the rule.

    """

    def __init__(self, message: str, issues: tuple[str, ...] = ()) -> None:
        super().__init__(message, issues)
        self.message = message
        self.issues = issues


def parse_report(body: bytes | bytearray) -> dict[str, Any]:
    """
    Parse and check a body; integers, lone surrogates and NUL are preserved.

    Raises:
        BadBodyError: The body is not as `parse_object()` wants it, or is not a valid report.

    """
    report = parse_object(body)
    check(report, Report, REPORT_RULES, "report")
    return report


def parse_object(body: bytes | bytearray) -> dict[str, Any]:
    """
    Parse a body that must be a JSON object.

    Raises:
        BadBodyError: The body is not JSON in UTF-8, is nested deeper than `MAX_DEPTH`, or is
            another value than an object.

    """
    parsed = _parse_json(body)
    if not isinstance(parsed, dict):
        raise BadBodyError("The body must be a JSON object")
    found = cast("dict[str, Any]", parsed)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_too_deep(found):
        raise BadBodyError(f"The body is nested deeper than {MAX_DEPTH} levels")
    return found


def check(
    value: dict[str, Any], model: type[BaseModel], rules: Mapping[str, str], what: str
) -> None:
    """
    Check a parsed body against a model, whose fields all have a rule or may have any value.

    Args:
        value: The body.
        model: The model; it forbids other fields.
        rules: The rule of each place by its path, as in `REPORT_RULES`.
        what: What the body must be, for the error.

    Raises:
        BadBodyError: It names each place that breaks a rule, and the fields that are unknown.

    """
    for piece in _pieces(value, rules):
        try:
            model.model_validate(piece)
        except ValidationError as error:
            issues = _describe(error, piece, model, rules, what)
            raise BadBodyError(f"The body is not a valid {what}", issues) from None


def _parse_json(body: bytes | bytearray) -> object:
    if not body:
        raise BadBodyError("The body is empty; it must be a JSON object")
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except BadBodyError:
        raise
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno} column {error.colno}"
    except RecursionError:
        reason = f"nested deeper than {MAX_DEPTH} levels"
    except ValueError:
        reason = "an integer has more digits than Python reads (4,300)"
    raise BadBodyError(f"The body is not valid JSON: {reason}")


def _refuse_constant(name: str) -> NoReturn:
    raise BadBodyError(f"The body is not valid JSON: {name} is not a JSON number")


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadBodyError("The body has a number beyond the range of a double")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_read_float)


def _pieces(value: dict[str, Any], rules: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """
    Yield a body in pieces to check, which have few values each.

    Pydantic describes every value that is wrong, in about 4 KB: of a million they would take 4 GB.
    """
    if len(value) > _AT_ONCE:  # no model has so many fields, so the first ones say what is wrong
        value = dict(islice(value.items(), _AT_ONCE))
    large = {
        name: part
        for name, part in value.items()
        if isinstance(part, dict) and len(part) > _AT_ONCE and f"{name}.*" in rules
    }
    if not large:
        yield value
        return
    rest = {**value, **{name: {} for name in large}}
    for name, part in large.items():
        entries = iter(part.items())
        while some := dict(islice(entries, _AT_ONCE)):
            yield {**rest, name: some}


def _describe(
    error: ValidationError,
    value: dict[str, Any],
    model: type[BaseModel],
    rules: Mapping[str, str],
    what: str,
) -> tuple[str, ...]:
    # Pydantic's own messages list each branch of a union; a path and its rule are clearer.
    issues: set[str] = set()
    for one in error.errors(include_url=False, include_context=False):
        path, rule = _find_rule(one["loc"], rules)
        if one["type"] == "missing":
            issues.add(f"{path}: is missing")
        elif one["type"] == "value_error" and one["input"] is None:
            issues.add(f"{path}: {_NULL}")
        elif rule:
            issues.add(f"{path}: {rule}")
    names = ", ".join(model.model_fields)
    issues |= {
        f"{name[:_MAX_NAME]}: unknown field; the {what} has {names}"
        for name in value.keys() - model.model_fields.keys()
    }
    return tuple(sorted(issues))[:_MAX_ISSUES]


def _find_rule(place: Sequence[int | str], rules: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the longest path along a place that has a rule, as text, and that rule."""
    path = pattern = ""
    for part in place:
        longer = (f"{pattern}.{part}".lstrip("."), f"{pattern}.*")
        known = next((one for one in longer if one in rules), None)
        if known is None:
            break
        pattern = known
        path += f"[{part}]" if isinstance(part, int) else f".{part[:_MAX_NAME]}"
    return path.lstrip("."), rules.get(pattern)
