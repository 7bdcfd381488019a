"""
Delivers the reports that a spool holds, each tried once.

Files of running processes are left to them. A report that fails stays for the next process, and a
rejected one becomes a dead letter.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._delivery.outcome import Delivered, Rejected
from openpipe_report._delivery.transport import Transport
from openpipe_report._spool.file import PATTERN, SpoolFile
from openpipe_report._spool.locked_database import SpoolError, is_corrupt
from openpipe_report._spool.schema import Counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openpipe_report._settings import Settings
    from openpipe_report._spool.schema import SpooledReport

_BATCH_REPORTS = 100
_BATCH_BYTES = 16 * 1024 * 1024
"""Limits of one batch: reports, and bytes."""


@dataclass
class FoundFiles:
    """The files of a spool, held open until `close()`."""

    mine: list[SpoolFile] = field(default_factory=list[SpoolFile])
    """Those for the server and key in force."""
    others: list[SpoolFile] = field(default_factory=list[SpoolFile])
    in_use: int = 0
    """How many belong to running processes."""
    problems: list[str] = field(default_factory=list[str])
    """What is wrong with files that cannot be read."""

    def others_by_url(self, settings: Settings) -> list[str]:
        """Say how many reports lie there for others, a line for each server."""
        by_url: Counter[str] = Counter()
        for file in self.others:
            by_url[file.base_url] += sum(file.counts())
        here = settings.report_url.removesuffix("/report")
        return [
            f"The spool also holds {count} report(s) for {url}"
            + (" with another key" if url == here else "")
            for url, count in by_url.items()
        ]

    def close(self) -> None:
        """Let other processes have the files; empty ones are removed."""
        for file in (*self.mine, *self.others):
            file.close()


def total(files: list[SpoolFile]) -> Counts:
    """Count the reports of some files."""
    counts = [file.counts() for file in files]
    return Counts(sum(each.waiting for each in counts), sum(each.dead_letters for each in counts))


def find_files(folder: Path, settings: Settings) -> FoundFiles:
    """Take over every file of a spool that no process has open."""
    found = FoundFiles()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    base_url = settings.report_url.removesuffix("/report")
    for path in sorted(folder.glob(PATTERN)):
        file = None
        try:
            file = SpoolFile.take_over(path)
            if file is not None:
                file.counts()
        except (sqlite3.Error, OSError, SpoolError) as error:
            if file is not None:
                file.close()
            damage = "is damaged: your program sets it aside when it runs"
            found.problems.append(f"{path.name} {damage if is_corrupt(error) else error}")
            continue
        if file is None:
            found.in_use += 1
        else:
            (found.mine if file.is_for(base_url, key) else found.others).append(file)
    return found


@dataclass
class Resending:
    """
    Tries each report once; stops if the server is unreachable or asks clients to wait.

    Args:
        settings: The server and the key to send with.
        on_step: Called after each report.
    """

    settings: Settings
    on_step: Callable[[], object]
    delivered: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    """Number of reports that failed and can be sent later, by reason."""
    rejected: Counter[str] = field(default_factory=Counter[str])
    """Number of reports that the server rejected, by reason."""

    def run(self, files: list[SpoolFile], *, dead_letters: bool) -> None:
        """Send the reports of some files; with `dead_letters` these as well."""
        transport = Transport(self.settings)
        try:
            for file in files:
                try:
                    if not self._send_all(transport, file, dead_letters=dead_letters):
                        return
                except sqlite3.DatabaseError as error:  # the other files are sent
                    self.failed[f"{file.path.name}: {error}"] += 1
        finally:
            transport.close()

    def _send_all(self, transport: Transport, file: SpoolFile, *, dead_letters: bool) -> bool:
        """Send what a file holds; return False if further attempts would fail as well."""
        last = 0
        while batch := file.load(last, _BATCH_REPORTS, _BATCH_BYTES, dead_letters=dead_letters):
            last = batch[-1].number
            if not self._send(transport, file, batch):
                return False
        return True

    def _send(self, transport: Transport, file: SpoolFile, batch: list[SpooledReport]) -> bool:
        delivered: list[int] = []
        rejected: list[tuple[str, int]] = []
        try:
            for report in batch:
                key = report.idempotency_key
                outcome = transport.send(report.body, key, path=report.path)
                if isinstance(outcome, Delivered):
                    delivered.append(report.number)
                elif isinstance(outcome, Rejected):
                    rejected.append((outcome.reason, report.number))
                    self.rejected[outcome.reason] += 1
                else:
                    self.failed[outcome.reason] += 1
                    if not outcome.got_response or outcome.retry_after:
                        return False
                self.on_step()
        finally:
            self.delivered += len(delivered)
            file.resolve(delivered, rejected)
        return True
