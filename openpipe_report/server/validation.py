"""
Parses the body of a request into a report, or names every field that is wrong.

The rules are the API's: JSON of RFC 8259 in UTF-8, seven fields, finite numbers. An error names the
place and the rule, and never quotes the body.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, cast

from pydantic import ValidationError

from openpipe_report._report.json_codec import MAX_DEPTH, is_too_deep
from openpipe_report._report.model import Report

_MAX_NAME = 100
_MAX_ISSUES = 100
_NULL = "must not be null; leave the field out"
_NUMBER = "must be a finite number"
_TAG = "must be a string, a finite number, a boolean or null"
_RULES = {
    "requestedAt": _NUMBER,
    "receivedAt": _NUMBER,
    "statusCode": _NUMBER,
    "errorMessage": "must be a string",
    "tags": "must be an object",
}


class BadReportError(ValueError):
    """
    A request body is not a valid report.

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
        BadReportError: The body is not JSON in UTF-8, is nested deeper than `MAX_DEPTH`, or is not
            a valid report.

    """
    parsed = _parse_json(body)
    if not isinstance(parsed, dict):
        raise BadReportError("The body must be a JSON object")
    report = cast("dict[str, Any]", parsed)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_too_deep(report):
        raise BadReportError(f"The body is nested deeper than {MAX_DEPTH} levels")
    try:
        Report.model_validate(report)
    except ValidationError as error:
        issues = _describe(error, report)
        raise BadReportError("The body is not a valid report", issues) from None
    return report


def _parse_json(body: bytes | bytearray) -> object:
    if not body:
        raise BadReportError("The body is empty; it must be a JSON object")
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except BadReportError:
        raise
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno} column {error.colno}"
    except RecursionError:
        reason = f"nested deeper than {MAX_DEPTH} levels"
    except ValueError:
        reason = "an integer has more digits than Python reads (4,300)"
    raise BadReportError(f"The body is not valid JSON: {reason}")


def _refuse_constant(name: str) -> NoReturn:
    raise BadReportError(f"The body is not valid JSON: {name} is not a JSON number")


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadReportError("The body has a number beyond the range of a double")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_read_float)


def _describe(error: ValidationError, report: dict[str, Any]) -> tuple[str, ...]:
    # Pydantic's own messages list each branch of a union; a path and its rule are clearer.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    known = (one["loc"][:2] for one in found if one["loc"] and one["loc"][0] in _RULES)
    wrong = {_issue(str(place[0]), place[1:], report) for place in known}
    names = ", ".join(Report.model_fields)
    unknown = {
        f"{name[:_MAX_NAME]}: unknown field; the report has {names}"
        for name in report.keys() - Report.model_fields.keys()
    }
    return tuple(sorted(wrong | unknown))[:_MAX_ISSUES]


def _issue(field: str, tag: tuple[int | str, ...], report: dict[str, Any]) -> str:
    if field == "tags" and tag:
        return f"tags.{str(tag[0])[:_MAX_NAME]}: {_TAG}"
    return f"{field}: {_NULL if report.get(field) is None else _RULES[field]}"
