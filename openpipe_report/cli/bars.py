"""Bars of characters."""

from __future__ import annotations

from rich.text import Text

NARROWEST, WIDEST = 8, 30
"""Columns of the longest bar."""

_EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
_FULL = "\u2588"


def make_bar(value: float, part: float, greatest: float, width: int, *, ascii_only: bool) -> Text:
    """
    Return a bar as long as a value, whose last piece is red.

    Args:
        value: What it stands for, 0 at the least.
        part: How much of it is red.
        greatest: The value of a bar that is as long as it may be.
        width: The columns of that bar.
        ascii_only: Whether the terminal knows ASCII only.

    """
    length = width * value / greatest if greatest > 0 else 0.0
    if ascii_only:
        bar = "#" * max(int(length), value > 0)
    else:
        full, rest = divmod(max(int(length * 8), value > 0), 8)
        bar = _FULL * full + _EIGHTHS[rest].strip()
    red = 0 if not part else max(round(len(bar) * part / value), 1)
    green = len(bar) - red
    return Text(bar[:green], "cyan").append(bar[green:], "red")
