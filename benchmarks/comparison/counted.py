"""
A script that makes calls and flushes, for a tool that counts its instructions.

    python -m comparison.counted MODULE SINK WORKLOAD CALLS
"""

from __future__ import annotations

import os
import sys

from comparison.tool import set_up
from comparison.worker import Session


def main() -> None:
    module, sink, workload, calls = sys.argv[1:]
    Session(set_up(module, sink)).run(workload, int(calls))
    os._exit(0)  # the end of a tool is measured by comparison.ending


if __name__ == "__main__":
    main()
