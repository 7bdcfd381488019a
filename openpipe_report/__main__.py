"""`python -m openpipe_report` is the command `openpipe-report`."""

from __future__ import annotations

from openpipe_report.cli import main

if __name__ == "__main__":
    main()
