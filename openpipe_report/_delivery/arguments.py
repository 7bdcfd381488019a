"""
Settings as arguments, for type checkers: `openpipe={...}` and `Reporter(...)`.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from os import PathLike
from typing import Literal

import httpx
from pydantic import SecretStr
from typing_extensions import TypedDict

from openpipe_report._report.model import Report

Label = str | int | float | bool | None


class SettingsArguments(TypedDict, total=False):
    """
    The fields of `Settings` as arguments; None counts as not given.

        settings: SettingsArguments = {"base_url": "http://127.0.0.1:8417/api/v1", "senders": 2}
        client = OpenAI(openpipe=settings)

    What is not given comes from the environment; `Settings` says how the variables are called, and
    has the defaults.
    """

    api_key: str | SecretStr | None
    """The key for the server that takes the reports, sent as a bearer token."""
    base_url: str | httpx.URL | None
    """Where reports go: `{base_url}/report`. Default: OpenPipe's hosted API when there is a key."""
    enabled: bool | None
    """Whether calls are reported at all."""
    endpoints: Sequence[str] | AbstractSet[str] | None
    """Which endpoints are reported; also known: embeddings, images, audio, moderations."""
    forward_metadata: bool | None
    """Send `metadata` of chat completions to OpenAI even without `store=True`."""
    binary_answers: Literal["describe", "base64"] | None
    """Answers that are neither JSON nor text (speech): named by type and size, or as base64."""
    sample_rate: float | None
    """The share of traces (a lone call is one) that are sent, 0 to 1; failures always are."""
    metadata: Mapping[str, Label] | str | None
    """Labels of every report, such as `service=checkout,env=prod`; others win over them."""
    max_report_bytes: int | None
    """The size of one report; over it what is largest is cut and marked."""
    max_queue_reports: int | None
    """How many reports may wait; when full the newest is dropped and counted."""
    max_queue_bytes: int | None
    """How many bytes may wait, open streams included."""
    senders: int | None
    """Maximum number of sender threads; they are started on demand."""
    retry_for: float | None
    """Seconds from the first attempt during which a report is tried again."""
    connect_timeout: float | None
    """Seconds that connecting to the server may take."""
    read_timeout: float | None
    """Seconds that the server may take to answer; one more for each 256 KiB of the report."""
    exit_timeout: float | None
    """Seconds that all reporters together may hold the process at its exit."""
    before_report: Callable[[Report], Report | None] | None
    """Called with each `Report` on the reporter's thread; returns it, another one, or None."""
    on_drop: Callable[[str, int], object] | None
    """Called on the reporter's thread with a reason and how many reports were lost for it."""
    spool: str | PathLike[str] | None
    """A folder that keeps reports in files until they are delivered, so that a crash loses none."""
    spool_max_bytes: int | None
    """How many bytes the file of one process there may take."""
    http_client: httpx.Client | None
    """An `httpx.Client` to send with instead of our own connections; it stays yours to close."""
