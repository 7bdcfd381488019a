"""
Counts the instructions of a call with valgrind: of the process, delivery included, and of the
caller's thread.

They are the same in every run to less than one per cent, where the clock is noisy by several.
Threads run one at a time under valgrind, and what the kernel does is not counted: so these are the
tool's own work, without the hand-overs between threads that the clock shows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from comparison.measure import today
from comparison.processes import environment
from comparison.results import Cell
from comparison.variants import BENCHMARKS, HELD, OURS, RAW, Variant, interpreter_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comparison.results import Results
    from comparison.sink import Sink

CALLS = {"plain": (60, 160), "stream": (6, 16), "image": (4, 10)}
"""Calls of two runs of a workload; the difference leaves out the start of the process."""

_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
_TIMEOUT = 1_800.0
_asking = Lock()
"""Held while the sink is asked: it answers one question at a time."""


class Count(NamedTuple):
    """Instructions of a process, or of one call in it."""

    process: float
    caller: float
    """Of the thread that makes the calls."""


class CountError(Exception):
    """The instructions of a run could not be counted."""


def instructions(variants: Iterable[Variant], sink: Sink, results: Results) -> None:
    """Count the instructions of the calls of each workload, as ratios to the base's."""
    if shutil.which("valgrind") is None:
        print("    not counted: install valgrind", flush=True)
        return
    chosen = list(variants)
    for workload, calls in CALLS.items():

        def count(variant: Variant, workload: str = workload) -> Count | CountError:
            try:
                found = _count_call(variant, sink, workload)
            except CountError as error:
                found = error
            print(f"    {workload}: {variant.name}", flush=True)
            return found

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = dict(zip([one.name for one in chosen], pool.map(count, chosen), strict=True))
        for kind, prefix in (("process", ""), ("caller", "caller ")):
            measure = f"{prefix}{workload} instructions"
            results.sizes[measure] = f"of {calls[0]} and {calls[1]} calls"
            for one in chosen:
                if kind == "caller" or one.name != HELD:
                    cell = _compare(counts[one.name], counts[one.base], kind)
                    results.put(measure, one.name, cell)
        if workload == "image" and {RAW, OURS} <= counts.keys():
            over_post = _compare(counts[OURS], counts[RAW], "process")
            results.put("image over POST instructions", OURS, over_post)


def _compare(own: Count | CountError, base: Count | CountError, kind: str) -> Cell:
    for count in (own, base):
        if isinstance(count, CountError):
            return Cell(0, void=str(count), date=today())
    found, of_base = getattr(own, kind), getattr(base, kind)
    return Cell(found / of_base, absolute=found, date=today())


def _count_call(variant: Variant, sink: Sink, workload: str) -> Count:
    few, more = (_count(variant, sink, workload, calls) for calls in CALLS[workload])
    calls = CALLS[workload][1] - CALLS[workload][0]
    return Count((more.process - few.process) / calls, (more.caller - few.caller) / calls)


def _count(variant: Variant, sink: Sink, workload: str, calls: int) -> Count:
    with _asking:
        url = sink.open()
    with tempfile.TemporaryDirectory() as folder:
        # One file for each thread; the first is that of the main thread, which makes the calls.
        command = ["valgrind", "--tool=callgrind", "--separate-threads=yes"]
        command += [f"--callgrind-out-file={folder}/count", str(interpreter_of(variant))]
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
        totals = [_total(path) for path in sorted(Path(folder).glob("count-*"))]
    if run.returncode or not totals:
        raise CountError(f"the process failed: {run.stderr.strip().splitlines()[-1:]}")
    with _asking:
        arrived = sink.take(url).prompts
    if variant.delivers and arrived != calls:
        raise CountError(f"{arrived} of {calls} calls arrived")
    return Count(sum(totals), totals[0])


def _total(path: Path) -> int:
    found = _TOTALS.search(path.read_text("utf-8", "replace"))
    return int(found[1]) if found else 0
