"""Charts as SVG: what is drawn, and what a browser may not find in them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from openpipe_report.server.charts.drawing import HEIGHT, WIDTHS, draw
from openpipe_report.server.charts.measures import (
    MEASURES,
    write_cost,
    write_count,
    write_duration,
)
from openpipe_report.server.charts.palette import PALETTES
from openpipe_report.server.charts.timeline import read_timeline
from openpipe_report.server.store import Filter

SVG = "{http://www.w3.org/2000/svg}"
FIRST = 1_700_000_040_000
MINUTE = 60_000
HOSTILE = '</style><script>alert(1)</script>\x00\x1b"\ud800' + "\N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture
def timeline(store, add):
    add(FIRST, "a", duration=100, user=HOSTILE)
    add(FIRST, "b", duration=300, user=HOSTILE)
    add(FIRST + 2 * MINUTE, "b", duration=200, status=500, user=HOSTILE)
    return read_timeline(store.queries, Filter(), "model")


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MEASURES)
def test_clean(timeline, name, width, theme):
    """A chart is well-formed, has no script, link, external address or inline style."""
    drawn = draw(timeline, MEASURES[name], PALETTES[theme], WIDTHS[width])
    root = ET.fromstring(drawn.svg)
    assert root.get("viewBox") == f"0 0 {WIDTHS[width]} {HEIGHT}"
    assert not {f"{SVG}script", f"{SVG}a", f"{SVG}image", f"{SVG}use"} & {
        one.tag for one in root.iter()
    }
    names = {name for one in root.iter() for name in one.attrib}
    assert not any(name.endswith("href") or name == "style" for name in names)
    assert not any(name.startswith("on") for name in names)
    rest = drawn.svg.replace(b'xmlns="http://www.w3.org/2000/svg"', b"")
    assert b"http" not in rest
    assert b"url(" not in rest
    assert b"@import" not in rest


def test_style_hash(timeline):
    """The hash is of the one style sheet that the chart has."""
    drawn = draw(timeline, MEASURES["calls"], PALETTES["light"], 640)
    [sheet] = ET.fromstring(drawn.svg).iter(f"{SVG}style")
    digest = base64.b64encode(hashlib.sha256(sheet.text.encode()).digest()).decode()
    assert drawn.style_hash == f"'sha256-{digest}'"


def test_bars(timeline):
    """What adds up is bars: one for each group and time, as high as the value."""
    root = ET.fromstring(draw(timeline, MEASURES["calls"], PALETTES["light"], 640).svg)
    heights = [
        float(one.get("height"))
        for one in root.iter(f"{SVG}rect")
        if "reactive" in one.get("class", "")
    ]
    assert len(heights) == 6
    unit = max(heights)
    assert sorted(round(height / unit) for height in heights) == [0, 0, 0, 1, 1, 1]


def test_lines(timeline):
    """What does not add up is lines, one for each group."""
    root = ET.fromstring(draw(timeline, MEASURES["p95"], PALETTES["dark"], 640).svg)
    dots = [one for one in root.iter(f"{SVG}circle") if "dot" in one.get("class", "")]
    assert len(dots) == 3


def test_hostile_labels(store, timeline):
    """The names of groups are not in the chart, whatever they are."""
    by_label = read_timeline(store.queries, Filter(), "metadata.user")
    drawn = draw(by_label, MEASURES["calls"], PALETTES["light"], 640)
    assert ET.fromstring(drawn.svg) is not None
    assert b"alert" not in drawn.svg
    assert len(by_label.groups) == 1


def test_no_values(store):
    """A measure that no report has is an empty chart."""
    store.add({"requestedAt": FIRST, "reqPayload": {}}).result()
    timeline = read_timeline(store.queries, Filter(), None)
    for measure in MEASURES.values():
        assert ET.fromstring(draw(timeline, measure, PALETTES["light"], 640).svg) is not None


@pytest.mark.parametrize(
    "write, value, written",
    [
        (write_count, 0, "0"),
        (write_count, 950, "950"),
        (write_count, 12_300, "12.3k"),
        (write_count, 4_000_000, "4M"),
        (write_count, 5e15, "5000T"),
        (write_duration, 0, "0 ms"),
        (write_duration, 85.25, "85.2 ms"),
        (write_duration, 1_200, "1.2 s"),
        (write_duration, 200_000, "3 min 20 s"),
        (write_duration, 120_000, "2 min"),
        (write_cost, 0, "$0"),
        (write_cost, 0.00042, "$0.00042"),
        (write_cost, 2e-8, "$2.0e-08"),
        (write_cost, 0.5, "$0.50"),
        (write_cost, 1.5, "$1.50"),
        (write_cost, 12_345.6, "$12,346"),
    ],
)
def test_scales(write, value, written):
    """The numbers of a scale are short."""
    assert write(value) == written


def test_imports():
    """No import of the process warns of what pygal does to imports."""
    program = (
        "import sys, openpipe_report.server.charts.drawing\n"
        "assert all(hasattr(finder, 'find_spec') for finder in sys.meta_path), sys.meta_path\n"
        "import wave"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
