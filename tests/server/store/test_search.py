"""Search: what of a report is found, by which words, and what follows a commit."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpipe_report.server.store import Filter, Store

ARGUMENTS = '{"city": "Ly\\u00f3n", "days": 31415}'
CALL = {"id": "call_secret", "function": {"name": "get_weather", "arguments": ARGUMENTS}}


@pytest.fixture(params=["FTS5", "without FTS5", "PostgreSQL"])
def searched(request, path):
    """The arguments of a store with a kind of search index."""
    if request.param == "PostgreSQL":
        return {"source": request.getfixturevalue("make_postgresql")()}
    return {"source": path, "full_text": None if request.param == "FTS5" else False}


@pytest.fixture
def found(searched):
    """Store reports, and return the ids of those that a search finds; 1 is an unlike one."""

    def found(text, *reports):
        unlike = {"reqPayload": {"messages": [{"role": "user", "content": "something else"}]}}
        with Store(**searched) as store:  # closing it completes the index
            for report in (unlike, *reports):
                store.add(report).result()
        with Store(**searched, read_only=True) as store:
            return [row.id for row in store.queries.iterate(Filter(text=text))]

    return found


def chat(content):
    return {"reqPayload": {"messages": [{"role": "user", "content": content}]}}


@pytest.mark.parametrize(
    "text, report",
    [
        pytest.param("caf\u00e9 refund", chat("No refund at the Caf\u00e9?"), id="prompt"),
        pytest.param("cafe", chat("caf\u00e9"), id="without diacritics"),
        pytest.param("caf\u00e9", chat("CAFE"), id="with diacritics that the report lacks"),
        pytest.param("cafe", chat("cafe\u0301"), id="decomposed"),
        pytest.param("needle", chat([{"type": "text", "text": "a needle"}]), id="part of a prompt"),
        pytest.param(
            "needle",
            {"respPayload": {"choices": [{"message": {"content": "a needle"}}]}},
            id="answer",
        ),
        pytest.param("needle", {"respPayload": {"choices": [{"text": "a needle"}]}}, id="legacy"),
        pytest.param("needle", {"reqPayload": {"prompt": ["a", "needle"]}}, id="list of prompts"),
        pytest.param(
            "lyon 31415",
            {"respPayload": {"choices": [{"message": {"tool_calls": [CALL]}}]}},
            id="tool arguments, decoded",
        ),
        pytest.param(
            "get_weather",
            {"respPayload": {"choices": [{"message": {"tool_calls": [CALL]}}]}},
            id="name of a tool",
        ),
        pytest.param(
            "needle", {"reqPayload": {"instructions": "a needle", "input": "x"}}, id="instructions"
        ),
        pytest.param(
            "needle",
            {
                "respPayload": {
                    "object": "response",
                    "output": [{"content": [{"type": "output_text", "text": "a needle"}]}],
                }
            },
            id="responses",
        ),
        pytest.param(
            "needle", {"reqPayload": {"model": "e", "input": ["needle"]}}, id="embeddings"
        ),
        pytest.param(
            "needle",
            {"respPayload": {"type": "message", "content": [{"type": "text", "text": "needle"}]}},
            id="Anthropic",
        ),
        pytest.param(
            "needle",
            {"tags": {"$endpoint": "span"}, "respPayload": {"data": {"documents": ["needle"]}}},
            id="span",
        ),
        pytest.param("needle", {"errorMessage": "found no needle"}, id="error"),
        pytest.param(
            "needle", {"respPayload": {"error": {"message": "a needle"}}}, id="error body"
        ),
        pytest.param("gpt-4o", chat("use gpt-4o here"), id="word with a hyphen"),
        pytest.param(
            "\u65e5\u672c", chat("\u6771\u4eac\u306f\u65e5\u672c\u3067\u3059"), id="Japanese"
        ),
        pytest.param("\u672c", chat("\u65e5\u672c"), id="one character at the end of a run"),
        pytest.param("\u8fd4\u91d1\u3092", chat("GPT\u306e\u8fd4\u91d1\u3092order"), id="mixed"),
        pytest.param("\u30ac\u30b9", chat("\uff76\uff9e\uff7d"), id="half width"),
        pytest.param(
            "\u0e17\u0e35\u0e48",
            chat("\u0e2d\u0e22\u0e39\u0e48\u0e17\u0e35\u0e48\u0e44\u0e2b\u0e19"),
            id="Thai",
        ),
        pytest.param(
            "\u0939\u093f\u0928\u094d\u0926\u0940",
            chat("\u0939\u093f\u0928\u094d\u0926\u0940"),
            id="Hindi",
        ),
    ],
)
def test_finds(found, text, report):
    """A report is found by the words of prompt, answer, tool arguments and error, as they read."""
    assert found(text, report) == [2]


@pytest.mark.parametrize(
    "text, report",
    [
        pytest.param("cafe refund", chat("a refund"), id="one word of two"),
        pytest.param("user", chat("x"), id="a role"),
        pytest.param(
            "call_secret",
            {"respPayload": {"choices": [{"message": {"tool_calls": [CALL]}}]}},
            id="an id",
        ),
        pytest.param("\u672c\u65e5", chat("\u65e5\u672c"), id="characters in another order"),
        pytest.param("needle", chat("data:image/png;base64,needle"), id="encoded image"),
        pytest.param("needle", {"reqPayload": {"metadata": {"a": "needle"}}}, id="label"),
        pytest.param("...", chat("..."), id="no letter and no digit"),
    ],
)
def test_does_not_find(found, text, report):
    """All words must be there, and technical values are not text."""
    assert found(text, report) == []


OPERATORS = [
    '"',
    "'",
    "a OR b",
    "NOT a",
    "NEAR(a b)",
    "a*",
    "words:a",
    "^a",
    "(",
    "{a}",
    "-a",
    "a AND",
    "%",
    "_",
    "\\",
    "\0",
    "\ud800",
]


@pytest.mark.parametrize("text", OPERATORS)
def test_operators_are_text(found, text):
    """What FTS5 and LIKE take for operators is plain text in a search."""
    found(text, chat("x"))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(exclude_categories=[]), min_size=1))
def test_any_text(store, text):
    """No text that somebody searches for raises."""
    store.queries.list_reports(Filter(text=text))


def test_follows_commit(store):
    """A report that was committed is found soon, without another one."""
    store.add(chat("needle")).result()
    while store.queries.unindexed():
        pass
    assert store.queries.count(Filter(text="needle")) == 1


def test_completed_after_crash(path):
    """What a crash has left out of the index is indexed by the next process, from the reports."""
    with Store(path) as store:
        for number in range(300):
            store.add(chat(f"needle {number}")).result()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE search_state SET indexed_to = 0")
        other.execute("INSERT INTO report_search(report_search) VALUES ('delete-all')")
    other.close()
    with Store(path) as store:
        store.start()
    with Store(path, read_only=True) as store:
        assert store.queries.count(Filter(text="needle")) == 300
        assert store.queries.count(Filter(text="needle 299")) == 1


def test_moved_between_builds(path):
    """A file that was filled without FTS5 is indexed by a build that has it."""
    with Store(path, full_text=False) as store:
        store.add(chat("needle")).result()
    with Store(path) as store:
        store.start()
    with Store(path, read_only=True) as store:
        assert store.queries.count(Filter(text="needle")) == 1


def test_raw_text_is_not_searched(found):
    """Escapes of JSON are no words: text is searched as it reads."""
    report = chat("line\nneedle \u00e9t\u00e9")
    assert "nneedle" in json.dumps(report)
    assert found("nneedle", report) == []
