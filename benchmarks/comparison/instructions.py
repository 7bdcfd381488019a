"""
Counts the instructions of a call, delivery included, with valgrind.

They are the same in every run to less than one per cent, where the clock is noisy by several.
Threads run one at a time under valgrind, and what the kernel does is not counted: so these are the
tool's own work, without the hand-overs between threads that the clock shows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from comparison.measure import measured, today
from comparison.processes import environment
from comparison.results import Cell
from comparison.variants import BENCHMARKS, Variant, interpreter_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comparison.results import Results
    from comparison.sink import Sink

CALLS = {"plain": (60, 160), "stream": (6, 16)}
"""Calls of two runs of a workload; the difference leaves out the start of the process."""

_COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")
_TIMEOUT = 900.0
_asking = Lock()
"""Held while the sink is asked: it answers one question at a time."""


class CountError(Exception):
    """The instructions of a run could not be counted."""


def instructions(variants: Iterable[Variant], sink: Sink, results: Results) -> None:
    """Count the instructions of a plain call and of a stream, as ratios to the base's."""
    if shutil.which("valgrind") is None:
        print("    not counted: install valgrind", flush=True)
        return
    chosen = measured(variants)
    for workload, (few, more) in CALLS.items():

        def count(
            variant: Variant, workload: str = workload, calls: tuple[int, int] = (few, more)
        ) -> float | CountError:
            try:
                counts = [_count(variant, sink, workload, number) for number in calls]
            except CountError as error:
                return error
            print(f"    {workload}: {variant.name}", flush=True)
            return (counts[1] - counts[0]) / (calls[1] - calls[0])

        with ThreadPoolExecutor(2) as pool:
            counts = dict(zip([one.name for one in chosen], pool.map(count, chosen), strict=True))
        measure = f"{workload} instructions"
        results.sizes[measure] = f"of {few} and {more} calls"
        for variant in chosen:
            own, base = counts[variant.name], counts[variant.base]
            if isinstance(own, CountError) or isinstance(base, CountError):
                results.put(measure, variant.name, Cell(0, void=str(own), date=today()))
            else:
                results.put(measure, variant.name, Cell(own / base, absolute=own, date=today()))


def _count(variant: Variant, sink: Sink, workload: str, calls: int) -> int:
    with _asking:
        url = sink.open()
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    command += ["--cachegrind-out-file=/dev/null", str(interpreter_of(variant))]
    command += ["-m", "comparison.counted", variant.module, url, workload, str(calls)]
    run = subprocess.run(  # noqa: S603 - our own scripts
        command,
        cwd=BENCHMARKS,
        env={**environment(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    found = _COUNT.search(run.stderr)
    if run.returncode or found is None:
        raise CountError(f"the process failed: {run.stderr.strip().splitlines()[-1:]}")
    with _asking:
        arrived = sink.take(url).prompts
    if variant.delivers and arrived != calls:
        raise CountError(f"{arrived} of {calls} calls arrived")
    return int(found[1].replace(",", ""))
