"""What `openpipe-report doctor` says of a spool."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from openpipe_report._spool.file import SpoolFile
from openpipe_report._spool.locked_database import SpoolError
from openpipe_report.cli.resending import find_files, total

if TYPE_CHECKING:
    from openpipe_report._settings import Settings
    from openpipe_report._spool.schema import Counts


def examine_spool(settings: Settings) -> tuple[list[str], bool]:
    """Open a spool; return what it holds, in lines, and whether it cannot be used."""
    folder = Path(settings.spool or "").expanduser()
    base_url = settings.report_url.removesuffix("/report")
    try:
        SpoolFile.create(folder, base_url, None, settings.spool_max_bytes).close()
    except (sqlite3.Error, OSError, SpoolError) as error:
        return [f"The spool cannot be used: {error}"], True
    found = find_files(folder, settings)
    try:
        lines = _describe(total(found.mine))
        lines += found.others_by_url(settings)
    finally:
        found.close()
    if found.in_use:
        lines.append(f"{found.in_use} file(s) are in use by running processes.")
    lines += [f"Problem: {problem}" for problem in found.problems]
    return lines, bool(found.problems)


def _describe(counts: Counts) -> list[str]:
    if not any(counts):
        return ["The spool is empty and can be written."]
    lines = []
    if counts.waiting:
        held = f"The spool holds {counts.waiting} report(s) for this server and key"
        lines.append(f"{held}; `openpipe-report resend` delivers them.")
    if counts.dead_letters:
        dead = f"The spool holds {counts.dead_letters} dead letter(s)"
        lines.append(f"{dead}; `openpipe-report resend --dead` sends them again.")
    return lines
