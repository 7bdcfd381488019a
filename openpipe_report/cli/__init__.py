"""
The entry point of the command `openpipe-report`, which names the extra that is missing.

    commands        the list of the commands, each a module of its name
    command_group   how each ends where nobody reads its output any more
    options         options of one kind, and how a command fails
    sharing         options of several commands, as those of
    sources         what is read: --db, --url, --key
    filtering       which reports: --since, --where, ...
    stores          opens the store of a command that changes it
    formatting      reports as tables, blocks and JSON

All need the extra `cli`. What opens a database needs the extra `server`, which includes `cli`;
`doctor`, `resend` and what reads from a receiver by `--url` do not.
"""

from __future__ import annotations

import errno
import sys

from openpipe_report.cli.output import discard_output

_NEEDS = {
    "cli": ("the command line", {"rich", "typer"}),
    "server": (
        "this command",
        {"alembic", "fastapi", "genai_prices", "sqlalchemy", "starlette", "uvicorn"},
    ),
}
"""By extra: what needs it, and the packages that it adds."""

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a write to stdout; a pipe that nobody reads any more is none."""


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
    except BrokenPipeError as error:
        discard_output()
        ended = error.__context__  # what the flush has replaced
        sys.exit(ended.code if isinstance(ended, SystemExit) else 0)
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        discard_output()
        sys.exit(f"Error: cannot write the output: {error.strerror}")
