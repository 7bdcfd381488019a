"""
The command `openpipe-report`: its entry point, which also answers when the extra is missing.

The commands are in `openpipe_report.cli.commands`.
"""

from __future__ import annotations

import sys

_EXTRA = {"fastapi", "rich", "sqlalchemy", "starlette", "typer", "uvicorn"}


def main() -> None:
    """Run the command line; without the extra `server`, say how to install it and exit 1."""
    try:
        from openpipe_report.cli.commands import commands  # noqa: PLC0415 - may be missing

        commands(prog_name="openpipe-report")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit("openpipe-report needs its server: pip install 'openpipe-report[server]'")
