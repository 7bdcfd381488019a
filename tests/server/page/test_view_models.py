"""What the pages show beside conversations: code, cuts, marks, traces, forms, numbers."""

from __future__ import annotations

import ast
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from support.page_reports import KINDS, TRACE, asked, trace

from openpipe_report.server.page.cutting import (
    MAX_PAGE,
    MAX_TEXT,
    MAX_TURNS,
    Budget,
    choose_turns,
)
from openpipe_report.server.page.filter_form import tidy
from openpipe_report.server.page.formatting import FILTERS
from openpipe_report.server.page.links import path_of, url_with, with_value, without
from openpipe_report.server.page.markup import Stopwatch, to_code, to_markdown
from openpipe_report.server.page.repeating import repeat
from openpipe_report.server.page.search_marks import find_snippet
from openpipe_report.server.page.trace_tree import make_tree

DASH = "\N{EN DASH}"
HOSTILE = (
    '\'; touch owned; echo "$(touch owned)" `touch owned` ${HOME} \\ \n\r\0\x1b[31m \u202e é \ud800'
)


@pytest.mark.parametrize("kind", ["chat", "tools", "responses", "legacy", "embeddings", "images"])
def test_python_repeats(kind):
    """The Python code calls the same method with the same values, and has no key in it."""
    payload = KINDS[kind]["reqPayload"]
    endpoint = {
        "legacy": "completions",
        "responses": "responses",
        "embeddings": "embeddings",
        "images": "images/generations",
    }.get(kind, "chat/completions")
    assert arguments_of(repeat(payload, endpoint).python) == payload


def arguments_of(code):
    call = next(
        node.value
        for node in ast.parse(code).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "answer"
    )
    found = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    others = found.pop("extra_body", {})
    return {**found, **others}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=12), json_values, min_size=1))
def test_any_request_repeats(payload):
    """Whatever a request has, the code has the same in it, in ASCII and without control codes."""
    code = repeat(payload, "chat/completions")
    assert arguments_of(code.python) == payload
    for text in code:
        assert text.isascii()
        assert text.replace("\n", "").isprintable()


def test_curl_in_a_shell(tmp_path):
    """A shell runs the request alone: nothing of a hostile payload."""
    payload = asked(HOSTILE, **{HOSTILE: HOSTILE})
    program = tmp_path / "curl"
    program.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > arguments\nfor one; do :; done\n'
        'printf "%s" "$one" > body\n'
    )
    program.chmod(0o700)
    subprocess.run(
        ["/bin/sh", "-c", repeat(payload, "chat/completions").curl],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "OPENAI_API_KEY": "secret"},
        check=True,
    )
    assert json.loads((tmp_path / "body").read_text()) == payload
    assert "Authorization: Bearer secret" in (tmp_path / "arguments").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arguments", "body", "curl"]


@pytest.mark.parametrize(
    "payload, endpoint",
    [
        (None, "chat/completions"),
        ([1], "responses"),
        ({"a": 1}, "span"),
        ({"a": 1}, None),
        (asked("x" * 200_000), "chat/completions"),
    ],
)
def test_not_repeated(payload, endpoint):
    """No code is offered where it would be wrong or too long."""
    assert repeat(payload, endpoint) is None


def test_anthropic_repeats():
    """A call of Anthropic's is repeated with its own client and key."""
    code = repeat(KINDS["anthropic"]["reqPayload"], "messages")
    assert "client.messages.create(" in code.python
    assert "x-api-key: $ANTHROPIC_API_KEY" in code.curl


def test_texts_are_cut():
    """A long text is cut, and many long texts leave a few words of each."""
    budget = Budget()
    assert budget.cut("x" * 5_000_000) == ("x" * MAX_TEXT, 5_000_000 - MAX_TEXT)
    cuts = [budget.cut("x" * MAX_TEXT) for _ in range(1_000)]
    assert sum(len(one.text) for one in cuts) < MAX_PAGE + 1_000 * 300
    assert len(cuts[-1].text) == 300


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 5_000_000, id="string"),
        pytest.param(["x" * 5_000_000], id="string in an array"),
        pytest.param(list(range(100_000)), id="array"),
        pytest.param({str(number): "x" for number in range(100_000)}, id="object"),
        pytest.param(json.loads("[" * 450 + "]" * 450), id="levels"),
    ],
)
def test_json_is_cut(value):
    """Of a large value no more is shown than of a text."""
    assert len(Budget().cut_json(value).text) <= MAX_TEXT


def test_turns_are_left_out():
    """Of many turns the first few and the last ones are shown."""
    shown = choose_turns(range(1_000))
    assert (list(shown.first), shown.left_out) == (list(range(5)), 1_000 - MAX_TURNS)
    assert list(shown.last) == list(range(1_000 - MAX_TURNS + 5, 1_000))
    assert choose_turns([1, 2]) == ([1, 2], 0, ())


@pytest.mark.parametrize(
    "text, searched, marked",
    [
        ("What is the weather in Oslo?", "oslo WEATHER", ["weather", "Oslo"]),
        ("a Café here", "cafe", ["Café"]),
        ("ein Cafe\u0301 dort", "café", ["Cafe\u0301"]),
        ("東京の天気です", "天気", ["天気"]),
        ("straße", "strasse", ["straße"]),
        ("İstanbul x", "x", ["x"]),
        ("nothing", "else", []),
        ("", "a", []),
        ("x" * 9_000 + " needle " + "y" * 9_000, "needle", ["needle"]),
    ],
)
def test_marks(text, searched, marked):
    """What a search has found is marked as it stands in the text."""
    found = find_snippet(text, searched)
    assert [one.text for one in found if one.is_match] == marked
    assert "".join(one.text for one in found) in text


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_marks(text, searched):
    """A snippet is a piece of the text, whatever both are."""
    assert "".join(one.text for one in find_snippet(text, searched)) in text


def test_markdown_around_code():
    """Text before code and images stays as it is rendered."""
    text = "**a**\n\n```py\nx = 1\n```\n\n*b* ![c](https://e.example/c.png) ![d](file:d)"
    found = to_markdown(text, Stopwatch())
    assert "<strong>a</strong>" in found
    assert "<em>b</em>" in found
    assert "&lt;" not in found


@pytest.mark.parametrize(
    "text, absent, present",
    [
        ("<script>alert(1)</script>", "<script", "&lt;script&gt;"),
        ("<img src=x onerror=alert(1)>", "<img", "&lt;img"),
        ("![x](https://a.example/p.png)", "<img", 'href="https://a.example/p.png"'),
        ("![x](data:image/png;base64,AAAA)", "<img", "x"),
        ("[x](javascript:alert(1))", "href", "x"),
        ("[x](data:text/html,hi)", "href", "x"),
        ("[x](/reports/1)", "href", "x"),
        ("<https://a.example/\"onclick='x'>", '"onclick', "https://a.example"),
        ("```html\n<script>\n```", "<script", "&lt;"),
        ('```"><script>\nx\n```', "<script", "&lt;script&gt;"),
        ("# Title", "<h1", "Title"),
    ],
)
def test_markdown(text, absent, present):
    """Markdown has no HTML of its own, loads nothing, and links only to the web."""
    found = to_markdown(text, Stopwatch())
    assert absent not in found
    assert present in found


def test_slow_markup():
    """Where no time is left, text is shown as it is."""
    over = Stopwatch(0)
    assert to_markdown("**a** <b>", over) == '<div class="plain">**a** &lt;b&gt;</div>'
    assert to_code("<b>", "html", over) == "&lt;b&gt;"


def test_trace_tree(store):
    """A trace is a tree by its spans, with each report's place in time in percent."""
    for one in trace():
        store.add(one).result()
    tree = make_tree(store.queries.get_trace(TRACE), shown=1)
    [root] = tree.roots
    assert (root.row.span_name, root.start, root.width) == ("answer", 0, 100)
    [inner] = root.children
    assert (inner.row.span_name, inner.start, inner.width) == ("retrieve", 2.5, 75)
    assert [(one.row.failed, one.start, one.width) for one in inner.children] == [
        (True, 5, 15),
        (False, 25, 50),
    ]
    assert [one.is_shown for one in inner.children] == [False, True]
    assert (tree.count, tree.errors, tree.tokens, tree.duration_ms) == (4, 1, 1_290, 2_000)


def test_circular_trace(store):
    """Spans that are each other's parents are all shown."""
    for one, parent in ("ab", "ba", "cc"):
        tags = {"$trace_id": TRACE, "$span_id": one, "$parent_span_id": parent}
        store.add({"tags": tags}).result()
    tree = make_tree(store.queries.get_trace(TRACE))
    found, waiting = 0, list(tree.roots)
    while waiting:
        found += 1
        waiting += waiting.pop().children
    assert found == 3


@pytest.mark.parametrize(
    "query, tidied",
    [
        ("", None),
        ("model=a&metadata.x=", None),
        ("model=&text=a&status=", [("text", "a")]),
        ("label_name=user&label_value=u1&model=", [("metadata.user", "u1")]),
        ("metadata.user=u0&label_name=+user+&label_value=", [("metadata.user", "")]),
        ("text=a&label_name=&label_value=x", [("text", "a")]),
    ],
)
def test_form(query, tidied):
    """What a form sends becomes the query that says the same without empty fields."""
    request = Request({"type": "http", "query_string": query.encode()})
    found = tidy(request)
    assert (None if found is None else list(found)) == tidied


def test_links():
    """A link keeps the filter, and changes one name of it."""
    pairs = (("model", "a b"), ("metadata.é&", "="))
    assert url_with("/", pairs, after=7, none=None) == "/?model=a+b&metadata.%C3%A9%26=%3D&after=7"
    assert with_value(pairs, "model", "c") == (pairs[1], ("model", "c"))
    assert without(pairs, "model") == (pairs[1],)
    assert path_of("/reports", "a/b?c\ud800") == "/reports/a%2Fb%3Fc%3F"


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("duration", None, DASH),
        ("duration", 12.3, "12 ms"),
        ("duration", 1_234, "1.23 s"),
        ("duration", 90_000, "1.5 min"),
        ("cost", 0, "$0.00"),
        ("cost", 1e-7, "<$0.0001"),
        ("cost", 0.01234, "$0.0123"),
        ("cost", 1_234.5, "$1,234.50"),
        ("count", 1_234, "1,234"),
        ("count", None, DASH),
        ("size", 12, "12 B"),
        ("size", 2_048, "2 KiB"),
        ("size", 5 * 2**20, "5.0 MiB"),
        ("iso", 1_700_000_000_123.0, "2023-11-14T22:13:20.123Z"),
        ("utc", 1_700_000_000_123.0, "2023-11-14 22:13:20 UTC"),
        ("utc", 1e300, "1970-01-01 00:00:00 UTC"),
        ("value", {"a": "é"}, '{"a": "é"}'),
        ("value", "a", "a"),
        ("is_web", "javascript:x", False),
        ("is_web", "HTTPS://x", True),
    ],
)
def test_formatting(name, value, shown):
    """Numbers and times are shown in the unit that fits."""
    assert FILTERS[name](value) == shown


def test_short():
    """A short text shows control characters as symbols."""
    assert FILTERS["short"]("a\0\x1bb", 9) == "a\u2400\u241bb"
    assert FILTERS["short"]("abcdef", 4) == "abc\N{HORIZONTAL ELLIPSIS}"
