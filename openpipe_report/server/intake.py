"""
The way of a body into the store: parsed, checked, derived, committed.

All writing routes share it, so that each has the same limits and the same errors.

A small body is parsed on the event loop, where that takes least; a large one in another process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from openpipe_report.server.commits import Commits
from openpipe_report.server.errors import ApiError, unavailable
from openpipe_report.server.large_bodies import LargeBodies
from openpipe_report.server.nodes import has_more_nodes
from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store.errors import IdempotencyConflictError, StoreUnavailableError
from openpipe_report.server.store.preparing import PreparedReport, prepare_report
from openpipe_report.server.validation import BadBodyError, parse_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from openpipe_report.server.limits import Limits
    from openpipe_report.server.store import Store
    from openpipe_report.server.store.updates import UpdateFilter

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class LabelChange:
    """A change of the labels of stored reports. Plain values, so that it can be pickled."""

    filters: list[UpdateFilter]
    """The conditions, all of which a report must meet; none match every report."""
    changes: dict[str, str | None]
    """The new values by name; None removes a label."""


class Intake:
    """Stores the reports of one receiver, and changes their labels."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._log = SeldomLog()
        self._large_bodies = LargeBodies()
        self._commits: Commits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def store(
        self,
        body: bytes | bytearray,
        project: str,
        idempotency_key: str | None,
        parse: Callable[[bytes | bytearray, int], PreparedReport] | None = None,
    ) -> None:
        """
        Store the report in a body; returns once it is committed.

        Args:
            body: The body of a request.
            project: The project that it belongs to.
            idempotency_key: A report with the key of a stored one of the project is not stored
                again.
            parse: A function of a module, of a body and `Limits.max_nodes`, that returns what is
                stored; by default `prepare_body`.

        Raises:
            ApiError: 400 or 413, the body is no report or has too many values; 409, the key belongs
                to another report; 503, the database cannot be used for now; 500, any other failure.

        """
        prepared = await self._parse(parse or prepare_body, body)
        await self._write(
            lambda: self._store.add_prepared(
                prepared, idempotency_key=idempotency_key, project=project
            ),
            "report",
        )

    async def change(
        self,
        body: bytes | bytearray,
        project: str,
        parse: Callable[[bytes | bytearray, int], LabelChange],
    ) -> int:
        """
        Change the labels of reports as a body says; returns how many match, once it is committed.

        Args:
            body: The body of a request.
            project: The project whose reports change.
            parse: A function of a module, of a body and `Limits.max_nodes`.

        Raises:
            ApiError: As `store()`.

        """
        wanted = await self._parse(parse, body)
        return await self._write(
            lambda: self._store.update_metadata(wanted.filters, wanted.changes, project=project),
            "change",
        )

    def close(self) -> None:
        """End the process for large bodies. The store is the caller's to close."""
        self._large_bodies.close()

    async def _parse(
        self, parse: Callable[[bytes | bytearray, int], _Result], body: bytes | bytearray
    ) -> _Result:
        if len(body) <= self._limits.large_body_bytes:
            return parse(body, self._limits.max_nodes)
        parsed: _Result = await self._large_bodies.parse(parse, body, self._limits.max_nodes)
        return parsed

    async def _write(self, start: Callable[[], Future[_Result]], what: str) -> _Result:
        try:
            return await self._waiting().wait(start())
        except IdempotencyConflictError as error:
            raise ApiError(409, str(error)) from None
        except StoreUnavailableError as error:
            self._log.write(f"a {what} could not be stored for now", error)
            raise unavailable(
                "The database cannot be used for now; the receiver's log has the reason"
            ) from None
        except Exception as error:  # noqa: BLE001 - a traceback could show the report
            self._log.write(f"a {what} could not be stored", error)
            message = f"The {what} could not be stored; the receiver's log has the reason"
            raise ApiError(500, message) from None

    def _waiting(self) -> Commits:
        loop = asyncio.get_running_loop()
        if self._commits is None or self._loop is not loop:
            self._commits, self._loop = Commits(loop), loop
        return self._commits


def prepare_body(body: bytes | bytearray, max_nodes: int) -> PreparedReport:
    """
    Parse a body of `POST /report` and derive its columns.

    Raises:
        ApiError: As `parse_within()`.

    """
    report = parse_within(body, max_nodes, parse_report)
    # Encoding the report again would take as long as parsing it.
    return prepare_report(report, raw=body.decode("ascii") if body.isascii() else None)


def parse_within(
    body: bytes | bytearray,
    max_nodes: int,
    parse: Callable[[bytes | bytearray], dict[str, Any]],
) -> dict[str, Any]:
    """
    Return `parse(body)`, with its errors as the API's.

    Raises:
        ApiError: 400, `parse` raises BadBodyError; 413, the body has more than `max_nodes` values.

    """
    if len(body) > max_nodes and has_more_nodes(body, max_nodes):
        raise ApiError(413, f"The body has more than {max_nodes} values")
    try:
        return parse(body)
    except BadBodyError as error:
        raise ApiError(400, error.message, error.issues) from None
