"""
Reads the outcome of an attempt from the server's answer.
"""

from __future__ import annotations

import json
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from openpipe_report._delivery.outcome import Delivered, Rejected, Retryable
from openpipe_report._delivery.retry import may_pass
from openpipe_report._report.model import REPORT_PATH, ReportResponse, UpdateResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openpipe_report._delivery.outcome import Outcome


def classify_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    secret: str = "",
    path: str = REPORT_PATH,
) -> Outcome:
    """
    Read an answer as the API defines it.

    Args:
        status: The HTTP status.
        headers: The answer's headers; only `Retry-After` matters.
        body: The answer's body, or its beginning.
        secret: What must not be told, should the server repeat it: the API key.
        path: The path that was posted to.
    """
    if status == 200:  # noqa: PLR2004 - the API's only good one
        try:
            is_taken = _is_taken(body, path)
        except ValidationError:
            # A captive portal, a proxy's page, a cut body: no server has refused the report.
            reason = "HTTP 200 with an answer that is not the API's; is base_url right?"
            return Retryable(reason, got_response=True)
        if is_taken:
            return Delivered()
        return Rejected(f'HTTP 200 {{"status": "error"}}{_explain(body, secret)}')
    reason = f"HTTP {status}{_explain(body, secret)}"
    if may_pass(status):
        return Retryable(reason, got_response=True, retry_after=retry_after(headers))
    if 300 <= status < 400:  # noqa: PLR2004 - the redirects
        reason = f"HTTP {status}, a redirect, which is not followed; is base_url right?"
    return Rejected(reason)


def _is_taken(body: bytes, path: str) -> bool:
    if path == REPORT_PATH:
        return ReportResponse.model_validate_json(body).status == "ok"
    UpdateResponse.model_validate_json(body)  # a change that matches no report is taken, too
    return True


def _explain(body: bytes, secret: str) -> str:
    """Return the server's own words in one line; empty where it does not speak the API."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    issues = answer.get("issues")
    told = [answer.get("code"), answer.get("message")]
    if isinstance(issues, list):
        told += [issue.get("message") for issue in issues if isinstance(issue, dict)]
    # Our receiver repeats its message as the only issue.
    parts = dict.fromkeys(part for part in told if isinstance(part, str) and part)
    text = ": ".join(parts)
    if secret:
        text = text.replace(secret, "[key]")
    line = "".join(c if c.isprintable() else " " for c in text)
    return f" {line}"[:500] if line else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` as seconds from now, in both of its forms (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # HTTP dates are GMT, also where they do not say so
            date = date.replace(tzinfo=timezone.utc)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None
