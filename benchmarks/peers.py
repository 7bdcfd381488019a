"""
What recording a call costs: our client and its peers, measured side by side.

    python benchmarks/peers.py [--quick] [--only langfuse ours ...] [--measures plain exits ...]

Each variant runs in a process and an environment of its own (under `.venvs`, made at the first
time with the newest versions), and delivers with its own exporter to a server on loopback, the
sink. The calls are answered by a transport inside the process. A figure counts only if every call
has arrived at the sink. Each figure is a ratio to bare openai, whose calls are made in turns with
the variant's; a second process of bare openai (A/A) shows the noise.

The figures are kept in benchmarks/peers.json; a run of some variants or measures replaces those.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from comparison import measure, table
from comparison.instructions import instructions
from comparison.processes import versions_of
from comparison.results import Results
from comparison.sink import running_sink
from comparison.variants import (
    AGAIN,
    BY_NAME,
    OURS,
    RAW,
    ROOT,
    VARIANTS,
    Variant,
    forget_environment,
    interpreter_of,
)

MEASURES = (*measure.WORKLOADS, "instructions", "imports", "memory", "exits")
ROUNDS, QUICK_ROUNDS = 60, 8
RUNS, QUICK_RUNS = 21, 7
"""Processes whose imports are timed."""
EXITS, QUICK_EXITS = 5, 1
MEMORY_CALLS, QUICK_MEMORY_CALLS = 100_000, 10_000


def chosen(names: list[str]) -> list[Variant]:
    """Return the named variants, and what they are compared with."""
    if not names:
        return VARIANTS
    wanted = {
        variant.name: variant for variant in VARIANTS if {variant.name, variant.module} & {*names}
    }
    needed = {
        "bare",
        AGAIN,
        *([RAW] if OURS in wanted else []),
        *wanted,
        *(v.base for v in wanted.values()),
    }
    return [variant for variant in VARIANTS if variant.name in needed]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, only to try it")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these variants")
    parser.add_argument(
        "--measures",
        nargs="+",
        default=MEASURES,
        choices=MEASURES,
        metavar="MEASURE",
        help=f"of {', '.join(MEASURES)}",
    )
    parser.add_argument(
        "--upgrade", action="store_true", help="make the environments again, of newest versions"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds of a workload ({ROUNDS})")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "peers.json")
    parser.add_argument("--write", type=Path, help="write the tables into this page")
    options = parser.parse_args()
    known = {*BY_NAME, *(variant.module for variant in VARIANTS)}
    if unknown := {*options.only} - known:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(BY_NAME)}")
    return options


def main() -> None:
    options = parse()
    quick = options.quick
    variants = chosen(options.only)
    results = Results.read(options.json)
    for variant in variants if options.upgrade else ():
        forget_environment(variant)
    for variant in variants:
        interpreter_of(variant)
        results.versions[variant.name] = versions_of(variant)
    results.versions = {
        name: results.versions[name] for name in BY_NAME if name in results.versions
    }
    with running_sink() as sink:
        for number, name in enumerate(options.measures, 1):
            begin = time.monotonic()
            print(f"==> {number} of {len(options.measures)}: {name}", flush=True)
            if name == "instructions":
                instructions(variants, sink, results)
            elif name == "imports":
                measure.imports(variants, sink, QUICK_RUNS if quick else RUNS, results)
            elif name == "memory":
                calls = QUICK_MEMORY_CALLS if quick else MEMORY_CALLS
                measure.memory(variants, sink, calls, results)
            elif name == "exits":
                measure.exits(variants, sink, QUICK_EXITS if quick else EXITS, results)
            else:
                rounds = options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
                measure.in_rounds(name, variants, sink, rounds, results)
            print(f"({name}: {time.monotonic() - begin:.0f} s)", flush=True)
            results.write(options.json)
    text = table.render(results)
    print(text)
    if options.write:
        table.write(options.write, text)


if __name__ == "__main__":
    main()
