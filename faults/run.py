"""
Causes real faults and measures what is lost, what is stored twice, and how long it takes.

    python faults/run.py [NAME ...] [--write docs/faults.md]

Each fault runs in an environment of its own, on loopback, with the default settings. The exit
status is 1 if a report is lost, stored twice or counted wrongly. A time over its limit is shown
and is no failure, because it depends on the machine as well.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import openai
from crashes import killed, shared
from environment import Result, make_environment
from exits import healthy, no_backend, no_backend_but_a_spool
from outages import memory, outage, paused, poisoned, receiver_killed, unreliable
from processes import after_shutdown, forked
from storms import storms
from throughput import clients, hanging, slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from environment import Environment

FAULTS: dict[str, Callable[[Environment], Result | list[Result]]] = {
    fault.__name__: fault
    for fault in (
        outage,
        receiver_killed,
        unreliable,
        poisoned,
        paused,
        memory,
        healthy,
        no_backend,
        no_backend_but_a_spool,
        killed,
        shared,
        storms,
        slow,
        hanging,
        clients,
        forked,
        after_shutdown,
    )
}
MOSTLY_WAITING = {"outage", "hanging", "paused", "shared"}
"""These run beside the others."""
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(FAULTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"by default all of {known}")
    parser.add_argument("--write", type=Path, help="write the table of results into this page")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FAULTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {known}")
    names = options.names or list(FAULTS)
    beside = [name for name in names if name in MOSTLY_WAITING and len(names) > 1]
    rows: list[Result] = []
    with ThreadPoolExecutor() as pool:
        waiting = {name: pool.submit(run, name) for name in beside}
        for number, name in enumerate(sorted(names, key=beside.count), 1):
            print(f"==> {number} of {len(names)}: {FAULTS[name].__doc__}", flush=True)
            begin = time.monotonic()
            found = waiting[name].result() if name in waiting else run(name)
            print(f"({name}: {time.monotonic() - begin:.0f} s)")
            for row in found:
                print(f"{row.fault}\n    must hold: {row.must_hold}\n    seen: {row.seen}")
                for wrong in row.wrong:
                    print(f"    WRONG: {wrong}")
            sys.stdout.flush()
            rows += found
    if options.write:
        write(options.write, rows, is_whole=not options.names)
    wrong = sum(bool(row.wrong) for row in rows)
    print(f"{len(rows)} results, {wrong} of them wrong")
    return min(wrong, 1)


def run(name: str) -> list[Result]:
    """Cause one fault in an environment of its own."""
    with make_environment() as environment:
        found = FAULTS[name](environment)
    return [found] if isinstance(found, Result) else found


def write(page: Path, rows: list[Result], *, is_whole: bool) -> None:
    """Replace the table in the page; rows of faults that were left out stay as they are."""
    before, _, rest = page.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    where = (
        f"Python {platform.python_version()}, openai {openai.__version__}, "
        f"httpx {httpx.__version__}, {platform.system()}, {os.cpu_count()} cores.\n\n"
    )
    head = "| fault | must hold | seen |\n|---|---|---|\n"
    new = {row.fault: f"| {row.fault} | {row.must_hold} | {row.seen} |\n" for row in rows}
    kept = (
        {}
        if is_whole
        else {_fault(line): line for line in old.partition(head)[2].splitlines(keepends=True)}
    )
    lines = "".join({**kept, **new}.values())
    page.write_text(f"{before}{BEGIN}{where}{head}{lines}{END}{after}")


def _fault(line: str) -> str:
    return line.split("|")[1].strip()


if __name__ == "__main__":
    sys.exit(main())
