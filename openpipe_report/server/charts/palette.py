"""The colours of charts, for light and for dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report.server.charts.timeline import Group, Timeline


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as CSS writes them."""

    series: tuple[str, ...]
    """One colour a group, told apart with any colour vision; the last is that of the others."""
    text: str
    line: str
    background: str


# Okabe and Ito's colours (2008), with more contrast where the background asks for it.
PALETTES = {
    "light": Palette(
        series=(
            *("#0072b2", "#d55e00", "#009e73", "#b5578d", "#c48500", "#3f8fc4", "#7a5c00"),
            "#6b7280",
        ),
        text="#4b5563",
        line="#d7dbe0",
        background="#ffffff",
    ),
    "dark": Palette(
        series=(
            *("#56b4e9", "#f2904a", "#2ec99a", "#de94c1", "#f0c04a", "#8fc7ec", "#c9a94e"),
            "#9aa3b2",
        ),
        text="#aab2c0",
        line="#363c47",
        background="#181b21",
    ),
}
"""The palettes by theme."""


def color_number(timeline: Timeline, group: Group) -> int:
    """Return the place of a group's colour in `Palette.series`."""
    return len(PALETTES["light"].series) - 1 if group.is_others else timeline.groups.index(group)
