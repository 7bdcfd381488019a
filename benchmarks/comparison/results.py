"""The figures, by measure and variant, and the file that keeps them."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One figure of one variant."""

    value: float
    """A ratio to the base, or a number of the measure's unit."""
    error: float = 0.0
    """The standard error of `value`."""
    rounds: int = 1
    absolute: float | None = None
    """The median of the variant itself, in seconds a call, where `value` is a ratio."""
    void: str = ""
    """Why the figure does not count."""
    note: str = ""
    is_partial: bool = False
    """Whether the tool left out a part of what was to be delivered."""
    date: str = ""


def machine() -> dict[str, Any]:
    """Describe the machine."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text("utf-8"))
        model = found[1].strip() if found else ""
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


@dataclass
class Results:
    """All figures that were taken; a new one takes the place of an old one."""

    machine: dict[str, Any] = field(default_factory=machine)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """By variant and package."""
    sizes: dict[str, str] = field(default_factory=dict)
    """By measure: how many calls and rounds its newest figures are of."""
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def put(self, measure: str, variant: str, cell: Cell) -> None:
        self.cells.setdefault(measure, {})[variant] = cell

    def get(self, measure: str, variant: str) -> Cell | None:
        """Return a figure that counts, or None."""
        cell = self.cells.get(measure, {}).get(variant)
        return None if cell is None or cell.void else cell

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read the figures of earlier runs; none if there is no file."""
        if not path.exists():
            return cls()
        kept = json.loads(path.read_text("utf-8"))
        if kept["machine"] != machine():
            return cls()
        cells = {
            measure: {variant: Cell(**cell) for variant, cell in row.items()}
            for measure, row in kept["cells"].items()
        }
        return cls(kept["machine"], kept["versions"], kept["sizes"], cells)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
