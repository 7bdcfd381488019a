"""The findings of `openpipe-report doctor`: the settings in force and the fate of a test report."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from openpipe_report._delivery.connections import CannotConnectError
from openpipe_report._delivery.outcome import Delivered
from openpipe_report._delivery.proxy import proxy_for
from openpipe_report._delivery.transport import Transport
from openpipe_report._environment import ARGUMENT_ONLY, variable_of
from openpipe_report._report.json_codec import encode_json
from openpipe_report._report.model import Report
from openpipe_report._settings import Settings
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONG_KEY = 12
"""Length of a key, in characters, above which its first and last characters are shown."""

_REMEDIES = (
    ("HTTP 401", "The server does not accept the API key: set OPENPIPE_API_KEY to the right one."),
    ("HTTP 403", "The server does not permit reports with this API key."),
    (
        "HTTP 404",
        "There is no /report at this address: set OPENPIPE_BASE_URL to the URL without /report.",
    ),
    ("HTTP 407", "The proxy requires a password: check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."),
    ("HTTP 429", "The server asks clients to wait; reports are kept and retried."),
    ("HTTP 5", "The server has an internal error; reports are kept and retried."),
    ("not the API's", "A server of another kind answers there: check OPENPIPE_BASE_URL."),
    (
        "redirect",
        "Reports do not follow redirects: set OPENPIPE_BASE_URL to its target.",
    ),
    ("refused", "No server listens there: check that it runs, and its host and port."),
    ("Name or service", "The host name is unknown: check OPENPIPE_BASE_URL for a typo."),
    (
        "CERTIFICATE",
        "The server's certificate is not trusted: set SSL_CERT_FILE for an authority of your own.",
    ),
    ("SSL", "The server does not use TLS there: should the base URL begin with http:// instead?"),
    ("Timeout", "The server did not answer in time: it may hang, or a firewall may drop packets."),
    ("ProxyError", "The proxy failed: check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."),
)
"""By a text in the reason of a failed attempt: the advice; the first that matches is given."""


def describe_settings(settings: Settings, given: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return each setting's name, its value (a key masked), and the source of the value."""
    return [
        (name, _shown(getattr(settings, name)), _source(name, given))
        for name in Settings.model_fields
        if name not in ARGUMENT_ONLY
    ]


def _source(name: str, given: Mapping[str, Any]) -> str:
    if given.get(name) is not None:
        return "argument"
    variable = variable_of(name)
    if variable is not None and os.environ.get(variable, "").strip():
        return variable
    return "default"


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    secret = getattr(value, "get_secret_value", None)
    return mask(secret()) if secret is not None else str(value)


def mask(key: str) -> str:
    """Return the first and last characters of a long key, and nothing of a short one."""
    return f"{key[:4]}...{key[-2:]}" if len(key) > _LONG_KEY else "***"


def versions() -> str:
    """Return the versions of Python, this package and its main dependencies, in one line."""
    named = [f"openpipe-report {VERSION}", f"Python {platform.python_version()}"]
    for package in ("openai", "httpx", "pydantic", "tenacity"):
        try:
            named.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            named.append(f"{package} missing")
    return ", ".join(named)


def why_off(settings: Settings) -> str:
    """Return why reporting is off and how to turn it on; empty if it is on."""
    if settings.active:
        return ""
    if not settings.enabled:
        return "enabled is false: set OPENPIPE_REPORT_ENABLED=true, or unset it."
    return (
        "no server is set: set OPENPIPE_BASE_URL to your receiver, or OPENPIPE_API_KEY for "
        "OpenPipe's hosted API."
    )


def proxy_in_use(settings: Settings) -> str:
    """Return the URL of the proxy for reports, its password removed; empty without a proxy."""
    return re.sub(r"//.*@", "//...@", proxy_for(settings.report_url) or "")


def send_test(settings: Settings) -> str:
    """Post one test report; return why it failed and what to do, empty if it was delivered."""
    now = time.time() * 1000
    report = Report(
        requestedAt=now,
        receivedAt=now,
        reqPayload={
            "model": "none",
            "messages": [],
            "metadata": {"test": "openpipe-report doctor"},
        },
        tags={"$sdk": "openpipe-report", "$sdk.version": VERSION, "$endpoint": "doctor"},
    )
    try:
        transport = Transport(settings)
    except CannotConnectError as error:
        return f"{error}."
    try:
        outcome = transport.send(encode_json(report.to_wire()), str(uuid4()))
    finally:
        transport.close()
    if isinstance(outcome, Delivered):
        return ""
    remedy = next((advice for sign, advice in _REMEDIES if sign in outcome.reason), "")
    if "refused" in outcome.reason and (proxy := proxy_in_use(settings)):
        remedy = f"No server listens at {proxy}, or that proxy found none at the base URL."
    if (
        not remedy
        and urlsplit(settings.report_url).scheme == "http"
        and "disconnected" in outcome.reason
    ):
        remedy = (
            "The server closed the connection without an answer: "
            "should the base URL begin with https:// instead?"
        )
    return f"{outcome.reason}. {remedy}".strip()
