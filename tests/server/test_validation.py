"""Checking of bodies with very many values, in process: what it finds, and the memory it takes."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from openpipe_report.server.errors import ApiError
from openpipe_report.server.intake import prepare_body
from openpipe_report.server.routes.anthropic import prepare_anthropic
from openpipe_report.server.routes.feedback import parse_metadata_change, parse_tags_change
from openpipe_report.server.validation import parse_object

MANY = 30_000
NAMES = {str(number): 1 for number in range(MANY)}
WRONG = {str(number): [] for number in range(MANY)}
FILTER = {"field": "model", "equals": "m"}


@pytest.mark.parametrize(
    "parse, body",
    [
        pytest.param(prepare_body, {"tags": WRONG}, id="tags"),
        pytest.param(prepare_body, WRONG, id="unknown fields"),
        pytest.param(prepare_anthropic, {"tags": WRONG, "metadata": WRONG}, id="metadata"),
        pytest.param(parse_metadata_change, {"filters": [], "metadata": WRONG}, id="changes"),
        pytest.param(parse_tags_change, {"filters": [1] * MANY, "tags": WRONG}, id="filters"),
        pytest.param(
            parse_metadata_change, {"filters": [{**FILTER, **WRONG}], "metadata": {}}, id="a filter"
        ),
    ],
)
def test_many_errors(parse, body):
    """However many values are wrong, the check takes little memory and names 100 at most."""
    sent = json.dumps(body).encode()
    tracemalloc.start()
    try:
        parse_object(sent)
        parsed = tracemalloc.get_traced_memory()[1]
        with pytest.raises(ApiError) as caught:
            parse(sent, 10**6)
        checked = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 400
    assert 1 <= len(caught.value.issues) <= 100
    assert checked < 2 * parsed


@pytest.mark.parametrize("parse", [prepare_body, prepare_anthropic])
def test_many_tags(parse):
    """Of very many tags each is checked, and all are stored."""
    field = "tags" if parse is prepare_body else "metadata"
    stored = json.loads(parse(json.dumps({field: NAMES}).encode(), 10**6).raw)["tags"]
    assert {**NAMES, **stored} == stored
    with pytest.raises(ApiError) as caught:
        parse(json.dumps({field: {**NAMES, "last": []}}).encode(), 10**6)
    rule = "must be a string, a finite number, a boolean or null"
    assert caught.value.issues == (f"{field}.last: {rule}",)


def test_many_changes():
    """A change with too many names is refused for that alone."""
    body = json.dumps({"filters": [FILTER], "metadata": dict.fromkeys(NAMES, "x")}).encode()
    with pytest.raises(ApiError) as caught:
        parse_metadata_change(body, 10**6)
    assert caught.value.issues == ("metadata: must be an object of at most 100 names",)
