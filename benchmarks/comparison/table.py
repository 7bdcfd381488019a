"""The tables of docs/performance.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comparison.variants import AGAIN, BY_NAME, HELD, OURS, VARIANTS

if TYPE_CHECKING:
    from pathlib import Path

    from comparison.results import Cell, Results

BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"


@dataclass(frozen=True)
class Measure:
    """A column: its title, and how its figures are shown."""

    title: str
    unit: str = "%"
    """`%` and `exact` are a ratio less 1, with an error or without, `x` is a ratio."""

    def show(self, cell: Cell | None) -> str:
        if cell is None:
            return "-"
        if cell.void:
            return f"void: {cell.void}"
        return self.figure(cell) + (f" ({cell.note})" if cell.note else "")

    def figure(self, cell: Cell) -> str:
        value, error = cell.value, cell.error
        if self.unit == "%":
            return f"{(value - 1) * 100:+.1f} % ± {error * 100:.1f}"
        if self.unit == "exact":
            return f"{(value - 1) * 100:+.1f} %"
        if self.unit == "x":
            return f"{value:.3f} ± {error:.3f}"
        if self.unit == "s":
            over = "> " if cell.note in {"killed", "the calls themselves hang"} else ""
            return f"{over}{value:.2f}"
        return f"{value:.1f}" + (f" ± {error:.1f}" if error else "")


MEASURES = {
    "plain": Measure("plain call"),
    "stream": Measure("stream of 200"),
    "image": Measure("1 MB image"),
    "image over POST": Measure("1 MB image, over one POST"),
    "plain instructions": Measure("plain call, instructions", "exact"),
    "stream instructions": Measure("stream of 200, instructions", "exact"),
    "image instructions": Measure("1 MB image, instructions", "exact"),
    "image over POST instructions": Measure("1 MB image, over one POST, instructions", "exact"),
    "caller plain instructions": Measure("caller's thread, plain, instructions", "exact"),
    "caller stream instructions": Measure("caller's thread, stream, instructions", "exact"),
    "caller image instructions": Measure("caller's thread, 1 MB image, instructions", "exact"),
    "caller plain": Measure("caller's thread, plain"),
    "caller stream": Measure("caller's thread, stream"),
    "computing": Measure("wall, beside a computing thread", "x"),
    "concurrent": Measure("64 at once, p99", "x"),
    "imports": Measure("imports, ms", "ms"),
    "ready": Measure("imports and set-up, ms", "ms"),
    "growth": Measure("memory, growth, MiB", "MiB"),
    "above bare": Measure("memory above bare, MiB", "MiB"),
    "exit up": Measure("exit, backend up", "s"),
    "exit refused": Measure("exit, refused", "s"),
    "exit black hole": Measure("exit, black hole", "s"),
}

TABLES = {
    "CPU of the process, delivery included, over bare openai": ("plain", "stream", "image"),
    "Instructions of a call, delivery included, over bare openai": (
        "plain instructions",
        "stream instructions",
        "image instructions",
    ),
    "Instructions of a call on the caller's thread, over bare openai": (
        "caller plain instructions",
        "caller stream instructions",
        "caller image instructions",
    ),
    "CPU of the caller's thread, and waiting, over bare openai": (
        "caller plain",
        "caller stream",
        "computing",
        "concurrent",
    ),
    "Start and memory, beyond bare openai": ("imports", "ready", "growth", "above bare"),
    "Seconds from the last of 100 calls to the end of the process": (
        "exit up",
        "exit refused",
        "exit black hole",
    ),
}


@dataclass(frozen=True)
class Bar:
    """What ours must reach in a measure."""

    measure: str
    limit: float | None
    """The most that is allowed, as the measure's value; None: only better than the peers."""
    text: str
    below_peers: bool = False
    variant: str = OURS


BARS = [
    Bar("plain", 1.40, "at most +40 %", below_peers=True),
    Bar("stream", 1.10, "at most +10 %", below_peers=True),
    Bar("plain instructions", 1.40, "at most +40 %", below_peers=True),
    Bar("stream instructions", 1.10, "at most +10 %", below_peers=True),
    Bar("image over POST", 1.05, "at most +5 %"),
    Bar("image over POST instructions", 1.05, "at most +5 %"),
    Bar("caller plain", 1.01, "at most +1 %", variant=HELD),
    Bar("caller plain", 1.04, "at most +4 %", below_peers=True),
    Bar("caller stream", 1.01, "at most +1 %", variant=HELD),
    Bar("caller stream", 1.04, "at most +4 %", below_peers=True),
    Bar("caller plain instructions", 1.01, "at most +1 %", variant=HELD),
    Bar("caller plain instructions", 1.04, "at most +4 %", below_peers=True),
    Bar("caller stream instructions", 1.01, "at most +1 %", variant=HELD),
    Bar("caller stream instructions", 1.04, "at most +4 %", below_peers=True),
    Bar("computing", None, "below every peer", below_peers=True),
    Bar("concurrent", 1.02, "at most 1.02", below_peers=True),
    Bar("imports", 10, "at most 10 ms"),
    Bar("growth", 1, "none (at most 1 MiB)"),
    Bar("above bare", 10, "at most 10 MiB"),
    Bar("exit up", 0.2, "at most 0.2 s beyond bare"),
    Bar("exit refused", 5.2, "the budget of 5 s, and 0.2 s beyond bare"),
    Bar("exit black hole", 5.2, "the budget of 5 s, and 0.2 s beyond bare"),
]


def best_peer(results: Results, measure: str) -> tuple[str, Cell] | None:
    """Return the peer with the lowest figure among those that deliver all."""
    peers = [
        (variant.name, cell)
        for variant in VARIANTS
        if variant.is_peer and (cell := results.get(measure, variant.name)) and not cell.is_partial
    ]
    return min(peers, key=lambda peer: peer[1].value, default=None)


def is_relative(measure: str) -> bool:
    return MEASURES[measure].unit in {"%", "exact", "x"}


def noise_of(results: Results, measure: str) -> float | None:
    """Return how far the A/A pair is from no difference, with two standard errors."""
    # Image over POST has no A/A of its own: that of the image says how noisy its calls are.
    again = results.get(measure.replace(" over POST", ""), AGAIN)
    bare = results.get(measure, "bare")
    if again is None or (bare is None and not is_relative(measure)):
        return None
    return abs(again.value - (bare.value if bare else 1)) + 2 * again.error


def judge(results: Results, bar: Bar) -> str:
    """Return "reached", "missed", or why the bar is not judged."""
    ours = results.get(bar.measure, bar.variant)
    if ours is None:
        cell = results.cells.get(bar.measure, {}).get(bar.variant)
        return f"not judged: {cell.void}" if cell else "not measured"
    # Bare openai's own end takes time as well.
    bare = results.get(bar.measure, "bare") if bar.measure.startswith("exit") else None
    own_end = bare.value if bare else 0
    verdicts = []
    if bar.limit is not None:
        noise = noise_of(results, bar.measure)
        size = bar.limit - (1 if is_relative(bar.measure) else 0)
        if noise is None or noise >= size / 2:
            verdicts.append("limit not judged: A/A too noisy")
        else:
            verdicts.append("reached" if ours.value - own_end <= bar.limit else "missed")
    if bar.below_peers and (best := best_peer(results, bar.measure)):
        apart = ours.value - best[1].value
        is_sure = abs(apart) > 2 * math.hypot(ours.error, best[1].error)
        word = "below every peer" if apart < 0 else f"above {best[0]}"
        verdicts.append(word + ("" if is_sure else " (within the noise)"))
    return "; ".join(verdicts)


def render(results: Results) -> str:
    """Return the machine, the tables, and how each variant was set up, as Markdown."""
    return "\n".join(
        [
            _where(results),
            "### What must be reached\n",
            _bars(results),
            *(
                f"### {title}\n\n{_table(results, names)}"
                for title, names in TABLES.items()
                if any(name in results.cells for name in names)
            ),
            "### How each was set up\n",
            _variants(results),
        ]
    )


def _where(results: Results) -> str:
    dates = sorted({cell.date for row in results.cells.values() for cell in row.values()} - {""})
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "never"
    machine = results.machine
    return (
        f"Measured {when} on {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}.\n"
    )


def _lines(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _bars(results: Results) -> str:
    rows = []
    for bar in BARS:
        measure = MEASURES[bar.measure]
        best = best_peer(results, bar.measure)
        again = results.get(bar.measure.replace(" over POST", ""), AGAIN)
        held = ", senders held" if bar.variant == HELD else ""
        rows.append(
            [
                measure.title + held,
                bar.text + (", below every peer" if bar.below_peers and bar.limit else ""),
                measure.show(results.cells.get(bar.measure, {}).get(bar.variant)),
                f"{measure.figure(best[1])} ({best[0]})" if best else "-",
                measure.figure(again) if again else "-",
                judge(results, bar),
            ]
        )
    head = ["measure", "must reach", "openpipe-report", "best peer", "A/A", ""]
    return _lines(head, rows)


def _table(results: Results, names: tuple[str, ...]) -> str:
    rows = [
        [
            variant.name,
            *(MEASURES[n].show(results.cells.get(n, {}).get(variant.name)) for n in names),
        ]
        for variant in VARIANTS
        if any(variant.name in results.cells.get(name, {}) for name in names)
        and variant.name != "bare 1.97.1"
    ]
    sizes = dict.fromkeys(
        f"{MEASURES[n].title}: {results.sizes[n]}" for n in names if n in results.sizes
    )
    return _lines(["", *(MEASURES[n].title for n in names)], rows) + f"\n{'; '.join(sizes)}.\n"


def _variants(results: Results) -> str:
    rows = []
    for name, versions in results.versions.items():
        shown = ", ".join(f"{package} {version}" for package, version in versions.items())
        rows.append([name, shown, BY_NAME[name].how])
    return _lines(["", "versions", "set-up"], rows)


def write(page: Path, text: str) -> None:
    """Put the tables between the page's markers."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"error: {page} has no {BEGIN.strip()} and {END.strip()}")
    page.write_text(f"{before}{BEGIN}{text}{END}{after}", "utf-8")
