"""What `openpipe-report doctor` finds out: the settings in force, and what a test report meets."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from openpipe_report._delivery.proxy import proxy_for
from openpipe_report._delivery.response import Delivered
from openpipe_report._delivery.transport import CannotConnectError, Transport
from openpipe_report._environment import ARGUMENT_ONLY, variable_of
from openpipe_report._report.json_codec import encode_json
from openpipe_report._report.model import Report
from openpipe_report._settings import Settings
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONG_KEY = 12

_REMEDIES = (
    ("HTTP 401", "The server does not accept the API key: set OPENPIPE_API_KEY to the right one."),
    ("HTTP 403", "The server knows the API key, but does not let it report."),
    ("HTTP 404", "There is no /report at that address: OPENPIPE_BASE_URL must end before it."),
    ("HTTP 407", "The proxy asks for a password: look at HTTP_PROXY, HTTPS_PROXY and NO_PROXY."),
    ("HTTP 429", "The server asks to wait; reports are kept and sent later."),
    ("HTTP 5", "The server has trouble of its own; reports are kept and tried again."),
    ("not the API's", "Something else than a report server answers there."),
    ("redirect", "Reports do not follow redirects: set OPENPIPE_BASE_URL to where it leads."),
    ("refused", "Nothing listens there: is the server running, on this host and port?"),
    ("Name or service", "That host name is not known: look at OPENPIPE_BASE_URL for a typo."),
    (
        "CERTIFICATE",
        "The server's certificate is not trusted: for your own authority, SSL_CERT_FILE.",
    ),
    ("SSL", "It does not speak TLS there: should the base URL begin with http:// instead?"),
    ("Timeout", "No answer in time: a firewall may drop the packets, or the server hangs."),
    ("ProxyError", "The proxy refuses: look at HTTP_PROXY, HTTPS_PROXY and NO_PROXY."),
)


def describe_settings(settings: Settings, given: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List each setting, its value (the key masked), and where that comes from."""
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
    """Show of a key what helps to tell it from another, where it is long enough for that."""
    return f"{key[:4]}...{key[-2:]}" if len(key) > _LONG_KEY else "***"


def versions() -> str:
    """Name the versions that matter, in one line."""
    named = [f"openpipe-report {VERSION}", f"Python {platform.python_version()}"]
    for package in ("openai", "httpx", "pydantic", "tenacity"):
        try:
            named.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            named.append(f"{package} missing")
    return ", ".join(named)


def why_off(settings: Settings) -> str:
    """Say why nothing is reported; empty if it is."""
    if settings.active:
        return ""
    if not settings.enabled:
        return "enabled is false: set OPENPIPE_REPORT_ENABLED=true, or unset it."
    return (
        "there is nowhere to report to: set OPENPIPE_BASE_URL to your receiver, or "
        "OPENPIPE_API_KEY for OpenPipe's hosted API."
    )


def proxy_in_use(settings: Settings) -> str:
    """Name the proxy that reports go through, without its password; empty if there is none."""
    return re.sub(r"//.*@", "//...@", proxy_for(settings.report_url) or "")


def send_test(settings: Settings) -> str:
    """Post one test report; return what is wrong in plain words, empty if nothing is."""
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
    remedy = next((told for sign, told in _REMEDIES if sign in outcome.reason), "")
    if "refused" in outcome.reason and (proxy := proxy_in_use(settings)):
        remedy = f"Nothing listens at {proxy}, or nothing where that proxy looked."
    if (
        not remedy
        and urlsplit(settings.report_url).scheme == "http"
        and "disconnected" in outcome.reason
    ):
        remedy = "It hung up without an answer: should the base URL begin with https:// instead?"
    return f"{outcome.reason}. {remedy}".strip()
