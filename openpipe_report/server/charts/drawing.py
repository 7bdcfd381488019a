"""
Draws a chart as SVG, with pygal.

The SVG has no script, no link and no text of a report: the names of groups stand in the page beside
it. Its one style sheet is known by its hash, so that a policy can allow it and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from openpipe_report.server.charts.palette import color_number
from openpipe_report.server.charts.plotting import Line, StackedBar, Style

if TYPE_CHECKING:
    from openpipe_report.server.charts.measures import Measure
    from openpipe_report.server.charts.palette import Palette
    from openpipe_report.server.charts.timeline import Timeline

WIDTHS = {"wide": 640, "narrow": 360}
"""Widths of a chart by name; its text has the same size on a screen that is so wide."""
HEIGHT = 200

_FORMATS = {"minute": "%H:%M", "hour": "%d %b %H:%M", "day": "%d %b"}
_LABEL_WIDTH = 100
_PADDING = 0.02
"""Part of the plot that pygal leaves free on each side (`Box.margin`)."""
_FONT = "system-ui, sans-serif"


class Span(NamedTuple):
    """A part of the width of a chart."""

    start: float
    width: float


class Drawing(NamedTuple):
    """A chart as SVG."""

    svg: bytes
    style_hash: str
    """Source of its style sheet for a Content-Security-Policy: `'sha256-...'`."""
    slots: list[Span]
    """Where each time bucket is."""


def draw(timeline: Timeline, measure: Measure, palette: Palette, width: int) -> Drawing:
    """Draw one measure of a timeline: bars on each other, or lines where they do not add up."""
    kind = StackedBar if measure.is_sum else Line
    chart = kind(
        style=_make_style(timeline, palette),
        width=width,
        height=HEIGHT,
        js=(),
        no_prefix=True,
        show_legend=False,
        explicit_size=False,
        margin=4,
        margin_left=16,
        margin_right=36,
        spacing=6,
        x_label_rotation=0,
        x_labels_major_count=max(2, min(width // _LABEL_WIDTH, len(timeline.times))),
        show_minor_x_labels=False,
        truncate_label=-1,
        value_formatter=measure.write,
        order_min=measure.order_min,
        min_scale=2,
        max_scale=5,
        dots_size=2,
        no_data_text="",
        include_x_axis=True,
    )
    chart.x_labels = [_label(time, timeline.bucket) for time in timeline.times]
    for number, group in enumerate(timeline.groups):
        values = [None if point is None else measure.read(point) for point in group.points]
        chart.add(str(number), values)
    root = _clean(chart.render_tree())
    slots = _find_slots(root, len(timeline.times), are_bars=measure.is_sum)
    return Drawing(ET.tostring(root, encoding="utf-8"), _hash_style(root), slots)


def _make_style(timeline: Timeline, palette: Palette) -> Any:
    colors = [palette.series[color_number(timeline, group)] for group in timeline.groups]
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground=palette.text,
        foreground_strong=palette.text,
        foreground_subtle=palette.line,
        guide_stroke_color=palette.line,
        major_guide_stroke_color=palette.line,
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        font_family=_FONT,
        label_font_size=11,
        major_label_font_size=11,
        opacity="1",
        stroke_opacity="1",
        stroke_width="1.5",
        transition="0s",
        colors=tuple(colors),
    )


def _label(time: int, bucket: str) -> str:
    return datetime.fromtimestamp(time / 1_000, timezone.utc).strftime(_FORMATS[bucket])


def _clean(root: Any) -> Any:
    """Remove scripts, and what they alone would show."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_for_scripts(child):
                parent.remove(child)
    return root


def _is_for_scripts(node: Any) -> bool:
    if not isinstance(node.tag, str):  # a comment
        return True
    return node.tag in {"script", "desc", "title"} or "tooltip" in node.get("class", "").split()


def _hash_style(root: Any) -> str:
    [sheet] = root.iter("style")
    digest = hashlib.sha256((sheet.text or "").encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _find_slots(root: Any, count: int, *, are_bars: bool) -> list[Span]:
    """Return the part of the plot that belongs to each time bucket."""
    [plot] = (node for node in root.iter("g") if node.get("class") == "plot")
    left = float(plot.get("transform").removeprefix("translate(").partition(",")[0])
    whole = float(next(plot.iter("rect")).get("width"))
    inner = whole / (1 + 2 * _PADDING)
    left += (whole - inner) / 2
    if are_bars or count == 1:
        return [Span(left + inner * i / count, inner / count) for i in range(count)]
    step = inner / (count - 1)
    starts = [left + step * max(i - 0.5, 0) for i in range(count)]
    ends = [left + step * min(i + 0.5, count - 1) for i in range(count)]
    return [Span(start, end - start) for start, end in zip(starts, ends, strict=True)]
