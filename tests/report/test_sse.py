"""The bytes of an event stream are split into events, and those are read."""

from __future__ import annotations

import pytest

from openpipe_report._report.json_codec import parse_json
from openpipe_report._report.sse import split_events
from openpipe_report._report.stream_formats import assemble


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_events(end):
    """Events are split by any line end; comments, other fields and a BOM are no data."""
    lines = [
        ": OPENROUTER PROCESSING",
        "",
        "event: x",
        "id: 1",
        'data: {"a":',
        "data:1}",
        "",
        " data: {}",
        "",
        "data: [DONE]",
        "",
        "",
    ]
    body = b"\xef\xbb\xbf" + end.join(lines).encode()
    assert split_events(body) == (['{"a":\n1}'], True)


@pytest.mark.parametrize(
    "last, expected",
    [(b"", ["{}"]), (b'data: {"a"', ["{}"]), (b'data: {"a":1}', ["{}", '{"a":1}'])],
    ids=["none", "cut", "whole"],
)
def test_last_event_without_a_blank_line(last, expected):
    """The last event counts if it is whole."""
    assert split_events(b"data: {}\n\n" + last) == (expected, False)


@pytest.mark.parametrize(
    "text",
    ['{"x":1e999}', '{"x":NaN}', '{"x":123456789012345678901234567890}', '{"x":"\\ud800"}'],
)
def test_values_are_those_of_parse_json(text):
    """Numbers and strings that the fast parser reads in another way are read as everywhere."""
    body = f'data: {{"id":"c","choices":[],"usage":{text}}}\n\n'.encode()
    assert assemble(body).value["usage"] == parse_json(text)
