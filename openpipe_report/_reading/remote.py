"""RemoteSource: the reports of a receiver, read over its API."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from openpipe_report._reading.answers import read_count, read_object, read_rows
from openpipe_report._reading.conditions import encodable, encodable_pairs
from openpipe_report._reading.errors import QueryError, SourceError, SourceUnavailableError
from openpipe_report._reading.source import EVERYTHING, ReportSource
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpipe_report._reading.source import Parameters, Row

TIMEOUT = httpx.Timeout(300, connect=10)
"""Seconds: statistics of many reports take minutes."""

_API = "/api/v1"
_PAGE, _PAGE_WITH_PAYLOADS = 1_000, 200
_OF_PAGES = {"limit", "after", "order", "payloads", "by", "bucket"}
_REMEDIES = (
    ("CERTIFICATE", "set SSL_CERT_FILE for an authority of your own"),
    ("SSL", "should the URL begin with http:// instead?"),
    ("refused", "check that the receiver runs, and its host and port"),
    ("Name or service", "check the host name"),
)


class RemoteSource(ReportSource):
    """
    A `ReportSource` over HTTP. Certificates are verified, redirects are not followed.

    Args:
        url: The receiver's URL, with or without `/api/v1`.
        api_key: A key that may read; sent as `Authorization: Bearer` and never printed.

    Raises:
        SourceError: The URL or the key is none.

    """

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        self.name = _check_url(url)
        self._with_key = bool(api_key)
        self._http = httpx.Client(
            base_url=self.name if self.name.endswith(_API) else self.name + _API,
            headers={"User-Agent": f"openpipe-report/{VERSION}", **_authorization(api_key)},
            timeout=TIMEOUT,
        )

    def newest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield all reports that match, the newest first."""
        return self._iterate({**_check(where), **_page(payloads=payloads)})

    def oldest_first(
        self, where: Parameters = EVERYTHING, *, payloads: bool = False, after_id: int = 0
    ) -> Iterator[Row]:
        """Yield all reports that match and came after the one with this id, the oldest first."""
        page = _page(payloads=payloads)
        return self._iterate(
            {**_check(where), **page, "order": "oldest", "after": str(max(after_id, 0))}
        )

    def newest(
        self, count: int, where: Parameters = EVERYTHING, *, payloads: bool = False
    ) -> Iterator[Row]:
        """Yield the `count` newest reports that match, the oldest of them first."""
        page = {"limit": str(max(min(count, _PAGE), 1))}
        found = self._iterate({**_check(where), **page})
        oldest = deque(islice(found, count), maxlen=1)
        if not oldest:
            return iter(())
        after_id = read_count(oldest[0], "id", self.name) - 1
        rows = self.oldest_first(where, payloads=payloads, after_id=after_id)
        return islice(rows, count)  # others may have come meanwhile

    def tail(
        self,
        after_id: int,
        where: Parameters = EVERYTHING,
        *,
        limit: int = 100,
        payloads: bool = False,
    ) -> list[Row]:
        """Return the first reports that match and came after the one with this id."""
        page = {**_page(payloads=payloads), "limit": str(limit)}
        after = str(max(after_id, 0))
        return self._rows("/reports", {**_check(where), **page, "order": "oldest", "after": after})

    def newest_id(self) -> int:
        """Return the id of the newest report; 0 if there is none."""
        rows = self._rows("/reports", {"limit": "1"})
        return read_count(rows[0], "id", self.name) if rows else 0

    def get(self, report_id: str) -> Row | None:
        """Return a report and its payloads by its id, or the newest with this completion id."""
        answer = self._send(f"/reports/{_quote(report_id)}", {})
        if self._is_missing(answer):
            return None
        return self._read(answer)

    def trace(self, trace_id: str) -> list[Row]:
        """Return the first thousand reports of a trace by the time at which they began."""
        answer = self._send(f"/traces/{_quote(trace_id)}", {})
        if self._is_missing(answer):
            return []
        return read_rows(self._read(answer), self.name)

    def stats(
        self, where: Parameters = EVERYTHING, *, by: str | None = None, bucket: str | None = None
    ) -> list[Row]:
        """Return counts, sums and percentiles of the reports that match."""
        given = {"by": by, "bucket": bucket}
        groups = {name: value for name, value in given.items() if value is not None}
        return self._rows("/stats", {**_check(where), **groups})

    def count(self, where: Parameters = EVERYTHING) -> int:
        """Return how many reports match."""
        return sum(read_count(row, "calls", self.name) for row in self.stats(where))

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._http.close()

    def _iterate(self, parameters: Parameters) -> Iterator[Row]:
        following: str | None = None
        while True:
            after = {} if following is None else {"after": following}
            page = self._read(self._send("/reports", {**parameters, **after}))
            yield from read_rows(page, self.name)
            following = page.get("next")
            if following is None:
                return

    def _rows(self, path: str, parameters: Parameters) -> list[Row]:
        return read_rows(self._read(self._send(path, parameters)), self.name)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        return read_object(answer, self.name, with_key=self._with_key)

    def _is_missing(self, answer: httpx.Response) -> bool:
        """Return whether a 404 is of the report, and not of the whole API."""
        if answer.status_code != httpx.codes.NOT_FOUND:
            return False
        self.newest_id()
        return True

    def _send(self, path: str, parameters: Parameters) -> httpx.Response:
        try:
            try:
                return self._http.get(path, params=parameters)
            except httpx.RemoteProtocolError:  # an idle connection that has just been closed
                return self._http.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise SourceUnavailableError(self._cannot_reach(error)) from error

    def _cannot_reach(self, error: httpx.HTTPError) -> str:
        reason = str(error) or type(error).__name__
        remedy = next((advice for sign, advice in _REMEDIES if sign in reason), "")
        return f"cannot reach {self.name} ({reason})" + (f": {remedy}" if remedy else "")


def _check(where: Parameters) -> Parameters:
    """Return conditions; the receiver checks their values, but takes other parameters as well."""
    if other := _OF_PAGES.intersection(where):
        raise QueryError(f"{', '.join(sorted(other))}: no condition")
    return dict(encodable_pairs(where))


def _quote(report_id: str) -> str:
    return quote(encodable(report_id), safe="")


def _check_url(url: str) -> str:
    """Return a receiver's URL without a slash at its end."""
    parts = urlsplit(url)
    try:
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_url = False
    if not is_url:
        raise SourceError("the receiver's URL is none: give one such as http://127.0.0.1:8417")
    if parts.username is not None or parts.query or parts.fragment:
        raise SourceError("the receiver's URL has more than scheme, host, port and path: remove it")
    return url.rstrip("/")


def _authorization(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise SourceError("the key for the receiver has a character that no key has")
    return {"Authorization": f"Bearer {api_key}"}


def _page(*, payloads: bool) -> dict[str, str]:
    if payloads:
        return {"limit": str(_PAGE_WITH_PAYLOADS), "payloads": "true"}
    return {"limit": str(_PAGE)}
