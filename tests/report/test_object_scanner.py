"""Whether arguments that come in pieces are a whole JSON object."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openpipe_report._report import object_scanner
from openpipe_report._report.merge_rules import is_json_object
from openpipe_report._report.object_scanner import ObjectScanner

TEXTS = st.text(st.sampled_from(list('{}[]"\\,: \n\xa01a')), max_size=30)
OBJECTS = st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2) | st.integers(), max_size=3)


@given(
    st.tuples(TEXTS, OBJECTS.map(json.dumps), TEXTS).map("".join) | OBJECTS.map(json.dumps),
    st.lists(st.integers(0, 40)),
)
@example('{"a":"\\"}', [6, 7, 8])
@example('{"a":1} \n', [7, 8])
@example("}{", [])
def test_any_pieces(text, cuts):
    """After each piece the answer is that of parsing all so far."""
    scanner = ObjectScanner()
    begin = 0
    for end in [*sorted(cuts), len(text)]:
        if end >= begin:
            scanner.add(text[begin:end])
            begin = min(end, len(text))
            assert scanner.is_whole() == is_json_object(text[:begin])


@pytest.mark.parametrize("piece", [' , "k": {}', "}", " ", '"', "x"])
def test_text_is_parsed_once(piece, monkeypatch):
    """However often it is asked, each character is parsed once at the most."""
    parsed = []
    monkeypatch.setattr(
        object_scanner, "is_json_object", lambda text: parsed.append(text) or is_json_object(text)
    )
    scanner = ObjectScanner()
    for part in ['{"a": {}', *[piece] * 100, "}"]:
        scanner.add(part)
        scanner.is_whole()
        scanner.is_whole()
    assert len(parsed) <= 1
