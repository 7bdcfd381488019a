"""What `openpipe-report doctor` says of a spool."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from openpipe_report._spool.file import SpoolFile
from openpipe_report._spool.locked_database import SpoolError
from openpipe_report.cli.resending import find_files

if TYPE_CHECKING:
    from openpipe_report._settings import Settings


def examine_spool(settings: Settings) -> tuple[list[str], bool]:
    """Open a spool; return what it holds, in lines, and whether it cannot be used."""
    folder = Path(settings.spool or "").expanduser()
    base_url = settings.report_url.removesuffix("/report")
    try:
        if folder.is_file():
            raise SpoolError(f"{folder} is a file: set spool to a folder")  # noqa: TRY301
        SpoolFile.create(folder, base_url, None, settings.spool_max_bytes).close()
    except (sqlite3.Error, OSError, SpoolError) as error:
        return [f"The spool cannot be used: {error}"], True
    found = find_files(folder, settings)
    try:
        counts = [file.counts() for file in found.mine]
        lines = _describe(
            sum(each.waiting for each in counts), sum(each.dead_letters for each in counts)
        )
        lines += [
            f"The spool also holds {sum(file.counts())} report(s) for {file.base_url}"
            + (" with another key" if file.base_url == base_url else "")
            for file in found.others
        ]
    finally:
        found.close()
    if found.in_use:
        lines.append(f"{found.in_use} file(s) are in use by running processes.")
    lines += [f"Problem: {problem}" for problem in found.problems]
    return lines, bool(found.problems)


def _describe(waiting: int, dead_letters: int) -> list[str]:
    if not waiting and not dead_letters:
        return ["The spool is empty and can be written."]
    held = f"The spool holds {waiting} report(s) for this server and key"
    dead = f", and {dead_letters} dead letter(s)" if dead_letters else ""
    return [f"{held}{dead}: `openpipe-report resend` delivers them."]
