"""
Takes the figures: each workload in rounds of pairs.

A pair is a few calls of the base and as many of a variant, one right after the other, for the noise
of a busy machine changes within seconds. The pairs of a round are in random order. In the next
round they are in the reverse of it, and so are the two sides of each.
"""

from __future__ import annotations

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pairs import compare, median_of

from comparison.processes import Process, WorkerError
from comparison.results import Cell
from comparison.variants import HELD, OURS, RAW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comparison.results import Results
    from comparison.sink import Sink
    from comparison.variants import Variant

EXIT_CALLS = 100
EXIT_LIMIT = 30.0
"""Seconds after which a process that does not end is killed."""
CALLS_LIMIT = 90.0
"""Seconds that the set-up and the calls before an exit may take."""
IMAGE_BYTES = 750_000
"""Of the image without base64, in which some tools send it."""
MEMORY_STEPS = 10
"""The memory is measured after a tenth of the calls, and after all."""


@dataclass(frozen=True)
class Workload:
    """A workload in rounds: the calls of a round, and the figures that it gives."""

    calls: int
    figures: dict[str, str]
    """By measure: the cost that it compares."""
    leaves_out: frozenset[str] = frozenset()
    """Variants that it says nothing about."""


WORKLOADS = {
    "plain": Workload(200, {"plain": "cpu", "caller plain": "thread"}),
    "stream": Workload(10, {"stream": "cpu", "caller stream": "thread"}),
    "image": Workload(8, {"image": "cpu"}, frozenset({HELD})),
    "computing": Workload(50, {"computing": "wall"}, frozenset({HELD, RAW})),
    "concurrent": Workload(128, {"concurrent": "p99"}, frozenset({HELD, RAW})),
}
WARM_UP = {"plain": 400, "stream": 20, "image": 4, "computing": 100, "concurrent": 128}


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


@dataclass
class Contender:
    """A variant's worker, and what arrived of its calls."""

    variant: Variant
    worker: Process
    url: str
    calls: int = 0
    prompts: int = 0
    answers: int = 0
    decoded: int = 0
    failure: str = ""

    def run(self, sink: Sink, workload: str, calls: int) -> dict[str, float] | None:
        """Make some calls and return what they cost; None if the process has failed."""
        if self.failure:
            return None
        try:
            cost = self.worker.ask(workload=workload, calls=calls)
        except WorkerError as failed:
            self.failure = str(failed)
            print(f"    {failed}", flush=True)
            return None
        arrived = sink.take(self.url)
        self.calls += calls
        self.prompts += arrived.prompts
        self.answers += arrived.answers
        self.decoded += arrived.decoded
        return cost

    @property
    def void(self) -> str:
        """Why the figures do not count."""
        if self.failure:
            return "the process failed"
        if self.variant.delivers and self.prompts != self.calls:
            return f"{self.prompts} of {self.calls} calls arrived"
        return ""

    def is_partial(self, workload: str) -> bool:
        """Whether less than the bytes of the image arrived."""
        return workload == "image" and self.decoded < self.calls * IMAGE_BYTES

    def note(self, workload: str) -> str:
        if not self.variant.delivers or self.variant.name == RAW:
            return ""
        if workload == "image":
            return f"{self.decoded / max(1, self.calls) / 1e6:.2f} MB a call arrived"
        return "" if self.answers >= self.calls else f"{self.answers} of {self.calls} answers"


@dataclass
class Pair:
    """A base and another variant, and what their rounds cost."""

    base: Contender
    other: Contender
    costs: list[tuple[dict[str, float], dict[str, float]]] = field(default_factory=list)

    def run(self, sink: Sink, workload: str, calls: int, *, is_reversed: bool) -> None:
        """Make the calls of a round, the base's first unless the round is reversed."""
        if is_reversed:
            other = self.other.run(sink, workload, calls)
            base = self.base.run(sink, workload, calls)
        else:
            base = self.base.run(sink, workload, calls)
            other = self.other.run(sink, workload, calls)
        if base and other:
            self.costs.append((base, other))

    def figure(self, workload: str, cost: str, calls: int) -> Cell:
        """Return the ratio of a cost to the base's."""
        other = self.other
        void = other.void or ("the base failed" if not self.costs else "")
        if not self.costs:
            return Cell(0, void=void, date=today())
        ratio = compare(
            [base[cost] for base, _ in self.costs], [other[cost] for _, other in self.costs]
        )
        return Cell(
            value=ratio.value,
            error=ratio.error,
            rounds=ratio.pairs,
            absolute=ratio.other / (1 if cost == "p99" else calls),
            void=void,
            note=other.note(workload),
            is_partial=other.is_partial(workload),
            date=today(),
        )


def in_rounds(
    name: str, variants: list[Variant], sink: Sink, rounds: int, results: Results
) -> None:
    """Run a workload with all variants and put down the figures."""
    workload = WORKLOADS[name]
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {}
        for variant in variants:
            if variant.name not in workload.leaves_out:
                url = sink.open()
                worker = stack.enter_context(Process(variant, "worker", url))
                contenders[variant.name] = contender = Contender(variant, worker, url)
                contender.run(sink, name, WARM_UP[name])
        pairs = {
            contender.variant.name: Pair(contenders[contender.variant.base], contender)
            for contender in contenders.values()
            if contender.variant.base != contender.variant.name
        }
        over_post = []
        if name == "image" and {RAW, OURS} <= contenders.keys():
            over_post = [Pair(contenders[RAW], contenders[OURS])]
        order = [*pairs.values(), *over_post]
        shuffle = random.Random(1)  # noqa: S311 - no secret
        for number in range(rounds):
            if number % 5 == 0:
                print(f"    round {number + 1} of {rounds}", flush=True)
            if number % 2:
                order.reverse()
            else:
                shuffle.shuffle(order)
            for pair in order:
                pair.run(sink, name, workload.calls, is_reversed=bool(number % 2))
        for measure, cost in workload.figures.items():
            results.sizes[measure] = f"{rounds} rounds of {workload.calls} calls"
            for variant_name, pair in pairs.items():
                results.put(measure, variant_name, pair.figure(name, cost, workload.calls))
        for pair in over_post:
            results.sizes["image over POST"] = results.sizes["image"]
            results.put("image over POST", OURS, pair.figure(name, "cpu", workload.calls))


def measured(variants: Iterable[Variant]) -> list[Variant]:
    """Return the variants that can be measured on their own."""
    return [variant for variant in variants if variant.name not in {HELD, RAW}]


def imports(variants: list[Variant], sink: Sink, runs: int, results: Results) -> None:
    """Measure the CPU of imports and set-up in fresh processes."""
    url = sink.open()
    variants = measured(variants)
    taken: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in variants}
    for number in range(-1, runs):
        for variant in variants[:: -1 if number % 2 else 1]:
            with Process(variant, "imports", url) as process:
                try:
                    cost = process.ask()
                except WorkerError as failed:
                    print(f"    {failed}", flush=True)
                    continue
            # The first run of all writes bytecode and warms the disk's cache.
            if number >= 0:
                taken[variant.name].append(cost)
    for variant in variants:
        for measure, cost in (("imports", "imports"), ("ready", "ready")):
            results.sizes[measure] = f"{runs} processes"
            of_base = [one[cost] for one in taken[variant.base]]
            both = zip(of_base, [one[cost] for one in taken[variant.name]], strict=False)
            beyond = [other - base for base, other in both]
            if not beyond:
                results.put(measure, variant.name, Cell(0, void="the process failed"))
                continue
            value, error = median_of(beyond)
            results.put(measure, variant.name, Cell(value, error, len(beyond), date=today()))


def memory(variants: list[Variant], sink: Sink, calls: int, results: Results) -> None:
    """Measure the resident memory after a tenth of the calls and after all, two at a time."""
    variants = measured(variants)
    urls = {variant.name: sink.open() for variant in variants}

    def grow(variant: Variant) -> tuple[float, float] | WorkerError:
        with Process(variant, "worker", urls[variant.name]) as worker:
            try:
                early = worker.ask(workload="memory", calls=calls // MEMORY_STEPS)
                late = worker.ask(workload="memory", calls=calls - calls // MEMORY_STEPS)
            except WorkerError as failed:
                return failed
        print(f"    {variant.name}: {late['rss_kb'] / 1024:.0f} MiB", flush=True)
        return early["rss_kb"] / 1024, late["rss_kb"] / 1024

    with ThreadPoolExecutor(2) as pool:
        resident = dict(zip(urls, pool.map(grow, variants), strict=True))
    for measure in ("growth", "above bare"):
        results.sizes[measure] = f"{calls:,} calls, flushed every 400"
    for variant in variants:
        sizes, base = resident[variant.name], resident[variant.base]
        if isinstance(sizes, WorkerError) or isinstance(base, WorkerError):
            print(f"    {sizes}", flush=True)
            results.put("growth", variant.name, Cell(0, void="the process failed"))
            results.put("above bare", variant.name, Cell(0, void="the process failed"))
            continue
        arrived = sink.take(urls[variant.name]).prompts
        void = (
            f"{arrived} of {calls} calls arrived" if variant.delivers and arrived != calls else ""
        )
        growth = Cell(sizes[1] - sizes[0], void=void, date=today())
        results.put("growth", variant.name, growth)
        above = Cell(sizes[1] - base[1], absolute=sizes[1], void=void, date=today())
        results.put("above bare", variant.name, above)


def exits(variants: list[Variant], sink: Sink, runs: int, results: Results) -> None:
    """Measure the seconds from the last call to the end of the process."""
    variants = measured(variants)
    hole = sink.open("black hole")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = f"http://127.0.0.1:{listener.getsockname()[1]}"
    ends: dict[str, list[Cell]] = {variant.name: [] for variant in variants}
    lost: dict[str, int] = dict.fromkeys(ends, 0)
    for _ in range(runs):
        for variant in variants:
            url = sink.open()
            ends[variant.name].append(_end(variant, url))
            if variant.delivers:
                lost[variant.name] += EXIT_CALLS - sink.take(url).prompts
    results.sizes["exit up"] = f"{EXIT_CALLS} calls, {runs} times"
    for variant in variants:
        value, error = median_of([cell.value for cell in ends[variant.name]])
        worst = max(ends[variant.name], key=lambda cell: (bool(cell.void), cell.value))
        note = f"{lost[variant.name]} of {runs * EXIT_CALLS} lost" if lost[variant.name] else ""
        cell = replace(worst, value=value, error=error, rounds=runs, note=worst.note or note)
        results.put("exit up", variant.name, cell)
    for measure, url in (("exit refused", refused), ("exit black hole", hole)):
        results.sizes[measure] = f"{EXIT_CALLS} calls, once"
        with ThreadPoolExecutor(2) as pool:
            for variant, cell in zip(
                variants, pool.map(lambda one, url=url: _end(one, url), variants), strict=True
            ):
                results.put(measure, variant.name, cell)


def _end(variant: Variant, url: str) -> Cell:
    with Process(variant, "ending", url, str(EXIT_CALLS)) as process:
        try:
            last = float(process.line(CALLS_LIMIT))
        except WorkerError as failed:
            if "no answer" in str(failed):
                return Cell(CALLS_LIMIT, note="the calls themselves hang", date=today())
            print(f"    {failed}", flush=True)
            return Cell(0, void="the process failed", date=today())
        end = process.ended(EXIT_LIMIT - (time.monotonic() - last))
    if end is None:
        return Cell(EXIT_LIMIT, note="killed", date=today())
    return Cell(end - last, date=today())
