"""
The rate of the receiver on SQLite and on PostgreSQL, there with one receiver and with two.

The three take turns, round by round. A process of its own sends reports of 4 KB, as in
`receiver.py`, over connections that are shared among the receivers. PostgreSQL runs on this machine
too, with its default settings of durability, and all share its cores: the CPU time of a report says
what more machines would give.

    python benchmarks/databases.py [--seconds 3] [--rounds 6] [--connections 32] [--folder PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from pairs import compare
from receiver import WARM_UP, Round, Sender, fsync_ms, server

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))

from support.postgresql import running_server  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from multiprocessing.connection import Connection

GOALS = {"PostgreSQL, one receiver": 0.7, "PostgreSQL, two receivers": 1.0}
"""Least rates, as parts of SQLite's."""


def run_receiver(parent: Connection, database: str) -> None:
    from openpipe_report.server.app import create_app  # noqa: PLC0415 - in its own process
    from openpipe_report.server.http import listen, serve  # noqa: PLC0415
    from openpipe_report.server.store import Store  # noqa: PLC0415

    listener = listen("127.0.0.1", 0)
    with Store(database) as store:
        store.start()
        app = create_app(store, api_key="key")
        serve(app, listener, lambda: parent.send(listener.getsockname()[1]))


async def load(ports: Sequence[int], connections: int, seconds: float) -> Round:
    loop = asyncio.get_running_loop()
    measured_from = time.perf_counter() + WARM_UP
    until = measured_from + seconds
    senders: list[Sender] = []
    for number in range(connections):
        port = ports[number % len(ports)]

        def make(port: int = port) -> Sender:
            return Sender(port, measured_from, until)

        _, sender = await loop.create_connection(make, "127.0.0.1", port)
        senders.append(sender)
    await asyncio.gather(*(sender.done for sender in senders))
    waits = sorted(wait for sender in senders for wait in sender.waits)
    return Round(len(waits) / seconds, waits)


@contextmanager
def all_sides(folder: str) -> Generator[dict[str, list[int]]]:
    """Run the receivers; yield their ports."""
    with running_server() as postgresql, ExitStack() as stack:

        def receivers(database: str, count: int) -> list[int]:
            return [stack.enter_context(server(run_receiver, database)) for _ in range(count)]

        yield {
            "SQLite": receivers(str(Path(folder) / "reports.db"), 1),
            "PostgreSQL, one receiver": receivers(postgresql.url(postgresql.create_database()), 1),
            "PostgreSQL, two receivers": receivers(postgresql.url(postgresql.create_database()), 2),
        }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3, help="measured seconds of a round")
    options.add_argument("--rounds", type=int, default=6, help="rounds of each side")
    options.add_argument("--connections", type=int, nargs="+", default=[32])
    options.add_argument("--folder", help="where SQLite's file is made; default: the temporary one")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, all_sides(folder) as sides:
        print(f"an fsync of this disk takes {fsync_ms(folder):.2f} ms", flush=True)
        for connections in given.connections:
            rounds: dict[str, list[Round]] = {name: [] for name in sides}
            for number in range(given.rounds):
                for name in list(sides)[:: -1 if number % 2 else 1]:
                    found = uvloop.run(load(sides[name], connections, given.seconds))
                    rounds[name].append(found)
            print_rates(connections, rounds)


def print_rates(connections: int, rounds: dict[str, list[Round]]) -> None:
    sqlite = [one.rate for one in rounds["SQLite"]]
    print(f"{connections} connections, load of the machine {os.getloadavg()[0]:.1f}:")
    for name, found in rounds.items():
        rates = [one.rate for one in found]
        p99 = statistics.median(one.percentile(99) for one in found)
        line = (
            f"  {name:<26} {statistics.median(rates):5.0f}/s "
            f"({min(rates):.0f} to {max(rates):.0f}), p99 {p99:.0f} ms"
        )
        if name in GOALS:
            line += f": {compare(sqlite, rates).times} of SQLite's (goal {GOALS[name]:g})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
