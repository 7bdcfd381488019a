"""
The entry point of the command `openpipe-report`, which names the extra that is missing.

The commands are in `openpipe_report.cli.commands`. `doctor` and `resend` need the extra `cli`;
`serve`, `logs`, `show` and `reprice` need the extra `server`, which includes `cli`.
"""

from __future__ import annotations

import errno
import os
import sys

_NEEDS = {
    "cli": ("the command line", {"rich", "typer"}),
    "server": (
        "this command",
        {"alembic", "fastapi", "genai_prices", "sqlalchemy", "starlette", "uvicorn"},
    ),
}
"""By extra: what needs it, and the packages that it adds."""

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a write to stdout; typer ends in silence where a pipe has no reader any more."""


def main() -> None:
    """
    Run the command line.

    If an extra is missing, say how to install it; if the output cannot be written, say why. Both
    exit with 1.
    """
    try:
        from openpipe_report.cli.commands import commands  # noqa: PLC0415 - may be missing

        try:
            commands(prog_name="openpipe-report")
        finally:
            sys.stdout.flush()  # at the interpreter's own flush an error is a traceback
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        for extra, (what, packages) in _NEEDS.items():
            if missing in packages:
                sys.exit(f"{what} needs an extra: pip install 'openpipe-report[{extra}]'")
        raise
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(f"Error: cannot write the output: {error.strerror}")
