"""
The entry point of the command `openpipe-report`, which names the extra that is missing.

The commands are in `openpipe_report.cli.commands`. `doctor` and `resend` need the extra `cli`;
`serve`, `logs` and `show` need the extra `server`, which includes `cli`.
"""

from __future__ import annotations

import sys

_NEEDS = {
    "cli": ("the command line", {"rich", "typer"}),
    "server": ("this command", {"fastapi", "sqlalchemy", "starlette", "uvicorn"}),
}
"""By extra: what needs it, and the packages that it adds."""


def main() -> None:
    """Run the command line; if an extra is missing, say how to install it and exit with 1."""
    try:
        from openpipe_report.cli.commands import commands  # noqa: PLC0415 - may be missing

        commands(prog_name="openpipe-report")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        for extra, (what, packages) in _NEEDS.items():
            if missing in packages:
                sys.exit(f"{what} needs an extra: pip install 'openpipe-report[{extra}]'")
        raise
