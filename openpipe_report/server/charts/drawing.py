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

from openpipe_report.server.charts.palette import color_number
from openpipe_report.server.charts.plotting import Line, StackedBar, Style

if TYPE_CHECKING:
    from openpipe_report.server.charts.measures import Measure
    from openpipe_report.server.charts.palette import Palette
    from openpipe_report.server.charts.timeline import Timeline

WIDTHS = {"wide": 800, "narrow": 400}
"""Widths of a chart by name; its text has the same size on a screen that is so wide."""
HEIGHT = 220

_FORMATS = {"minute": "%H:%M", "hour": "%d %b %H:%M", "day": "%d %b"}
_LABEL_WIDTH = 100
_FONT = "system-ui, sans-serif"


class Drawing(NamedTuple):
    """A chart as SVG."""

    svg: bytes
    style_hash: str
    """Source of its style sheet for a Content-Security-Policy: `'sha256-...'`."""


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
    hashes: list[str] = []
    chart.add_xml_filter(lambda root: _clean(root, hashes))
    svg = chart.render()
    return Drawing(svg, hashes[0])


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


def _clean(root: Any, hashes: list[str]) -> Any:
    """Remove scripts and what they alone would show; note the hash of the style sheet."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_for_scripts(child):
                parent.remove(child)
    for sheet in root.iter("style"):
        digest = hashlib.sha256((sheet.text or "").encode()).digest()
        hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    return root


def _is_for_scripts(node: Any) -> bool:
    if not isinstance(node.tag, str):  # a comment
        return True
    return node.tag in {"script", "desc", "title"} or "tooltip" in node.get("class", "").split()
