"""
The settings: each is declared once, here, with its default and what is wrong with a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    StrictStr,
)

HOSTED_BASE_URL = "https://api.openpipe.ai/api/v1"
"""Where reports go when there is an API key and no base URL (the API page names it)."""


class Endpoint(NamedTuple):
    """One kind of call that can be reported."""

    name: str
    """As `Settings.endpoints` has it."""
    paths: tuple[str, ...]
    """The ends of the URL paths that belong to it."""
    is_default: bool = False
    """Whether it is reported unless `endpoints` says otherwise."""


ENDPOINTS = (
    Endpoint("chat.completions", ("chat/completions",), is_default=True),
    Endpoint("completions", ("completions",), is_default=True),
    Endpoint("responses", ("responses", "responses/compact"), is_default=True),
    Endpoint("embeddings", ("embeddings",)),
    Endpoint("images", ("images/generations", "images/edits", "images/variations")),
    Endpoint("audio", ("audio/speech", "audio/transcriptions", "audio/translations")),
    Endpoint("moderations", ("moderations",)),
)
"""Every endpoint that is known; a new one is added here."""

ENDPOINT_OF_PATH = {path: endpoint.name for endpoint in ENDPOINTS for path in endpoint.paths}
"""By the end of a URL's path: the name of its endpoint."""

_ENDPOINT_NAMES = frozenset(endpoint.name for endpoint in ENDPOINTS)

_Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_MIB = 1024 * 1024

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d*)?")


def _check_api_key(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str) and not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable ASCII without spaces; look for a stray newline")
    return value


def _check_base_url(value: object) -> object:
    if not isinstance(value, str):
        value = str(value)
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises when the port is none
    except ValueError:
        parts = urlsplit("")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; use the API key")
    printable = value.isprintable() and " " not in value
    if not (printable and parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.netloc)):
        raise ValueError(f"must be an http(s) URL such as {HOSTED_BASE_URL!r}")
    if "?" in value or "#" in value:
        raise ValueError("must have no query and no fragment")
    if parts.path.rstrip("/").endswith("/report"):
        raise ValueError("must end before '/report'; that is added")
    return value.rstrip("/")


def _split_names(value: object) -> object:
    names = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple, set, frozenset)):
        raise ValueError(f"must be names from {', '.join(sorted(_ENDPOINT_NAMES))}")  # noqa: TRY004
    names = [str(name) for name in names if name]
    if isinstance(value, str) and not names:
        raise ValueError(f"names none of {', '.join(sorted(_ENDPOINT_NAMES))}")
    unknown = sorted(set(names) - _ENDPOINT_NAMES)
    if unknown:
        raise ValueError(
            f"knows {', '.join(sorted(_ENDPOINT_NAMES))}, but not {', '.join(unknown)}"
        )
    return frozenset(names)


def _check_callable(value: object) -> object:
    if value is not None and (not callable(value) or iscoroutinefunction(value)):
        raise ValueError("must be a plain function")
    return value


def _check_labels(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise ValueError("must be labels such as 'service=checkout,env=prod'")
    return {name.strip(): label.strip() for name, _, label in pairs}


def _check_path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_client(value: object) -> object:
    if value is not None and not isinstance(value, httpx.Client):
        raise ValueError("must be an httpx.Client: no AsyncClient, and none of httpx2's")
    return value


class Settings(BaseModel):
    """
    Everything that can be set, validated and frozen.

    Clients whose settings are equal share one `Reporter`. The environment variable of `api_key`
    and `base_url` is `OPENPIPE_API_KEY` and `OPENPIPE_BASE_URL`; any other that can be text is
    `OPENPIPE_REPORT_` and its name in capitals. An empty variable counts as unset.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    api_key: Annotated[SecretStr | None, BeforeValidator(_check_api_key)] = None
    """The key for the server that takes the reports, sent as a bearer token."""
    base_url: Annotated[str | None, BeforeValidator(_check_base_url)] = None
    """Where reports go: `{base_url}/report`. Default: OpenPipe's hosted API when there is a key."""
    enabled: bool = True
    """Whether calls are reported at all."""
    endpoints: Annotated[frozenset[str], BeforeValidator(_split_names)] = frozenset(
        endpoint.name for endpoint in ENDPOINTS if endpoint.is_default
    )
    """Which endpoints are reported; also known: embeddings, images, audio, moderations."""
    forward_metadata: bool = False
    """Send `metadata` of chat completions to OpenAI even without `store=True`."""
    binary_answers: Literal["describe", "base64"] = "describe"
    """Answers that are neither JSON nor text (speech): named by type and size, or as base64."""
    sample_rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of traces (a lone call is one) that are sent, 0 to 1; failures always are."""
    metadata: Annotated[
        dict[StrictStr, StrictStr | StrictBool | StrictInt | _Float | None] | None,
        BeforeValidator(_check_labels),
    ] = None
    """Labels of every report, such as `service=checkout,env=prod`; others win over them."""
    max_report_bytes: Annotated[int, Field(ge=1024)] = 16 * _MIB
    """The size of one report; over it what is largest is cut and marked."""
    max_queue_reports: Annotated[int, Field(ge=1)] = 20_000
    """How many reports may wait; when full the newest is dropped and counted."""
    max_queue_bytes: Annotated[int, Field(ge=1024)] = 128 * _MIB
    """How many bytes may wait, open streams included."""
    senders: Annotated[int, Field(ge=1, le=64)] = 64
    """Maximum number of sender threads; they are started on demand."""
    retry_for: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """Seconds from the first attempt during which a report is tried again."""
    connect_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """Seconds that connecting to the server may take."""
    read_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 7.0
    """Seconds that the server may take to answer; one more for each 256 KiB of the report."""
    exit_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """Seconds that all reporters together may hold the process at its exit."""
    before_report: Annotated[Callable[[Any], Any] | None, BeforeValidator(_check_callable)] = None
    """Called with each `Report` on the reporter's thread; returns it, another one, or None."""
    on_drop: Annotated[Callable[[str, int], object] | None, BeforeValidator(_check_callable)] = None
    """Called on the reporter's thread with a reason and how many reports were lost for it."""
    spool: Annotated[str | None, BeforeValidator(_check_path)] = None
    """A folder that keeps reports in files until they are delivered, so that a crash loses none."""
    spool_max_bytes: Annotated[int, Field(ge=64 * 1024)] = 1024 * _MIB
    """How many bytes the file of one process there may take."""
    http_client: Annotated[Any, BeforeValidator(_check_client)] = None
    """An `httpx.Client` to send with instead of our own connections; it stays yours to close."""

    @property
    def active(self) -> bool:
        """Whether there is anywhere to report to, and it is wanted."""
        return self.enabled and (self.api_key is not None or self.base_url is not None)

    @property
    def report_url(self) -> str:
        """The URL that reports are posted to."""
        return f"{self.api_url}/report"

    @property
    def api_url(self) -> str:
        """The base URL in force."""
        return self.base_url or HOSTED_BASE_URL
