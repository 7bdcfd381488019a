"""Masking text that is JSON, holds some, or is escaped in another way."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openpipe_report._report.text_masking import mask_text

KEY = "sk-proj-abcdefghijklmnop1234"
SECRETS = [
    "ann@example.com",
    "jürgen@müller.example",
    KEY,
    "npm_abcdefghij0123456789",
    "Bearer abcdef1234567890",
    "Basic dXNlcjpwYXNz",
    "4111 1111 1111 1111",
    "378282246310005",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "api_key: 0123456789abcdef",
]
SECRET_PARTS = [
    *("ann@", "@example.com", "jürgen@", "ller.example", "sk-proj", "npm_", "abcdef1234567890"),
    *("dXNlcjpwYXNz", "1111 1111", "378282246310005", "eyJ", "0123456789abcdef"),
]

edges = st.sampled_from(
    ["", "\n", "\t", " ", '"', "\\ ", "“", "\u2028", "/", "\x00", "\\\n", "😀 "]
)
plain = st.text(st.characters(codec="utf-8", exclude_characters="@"), max_size=8).filter(
    lambda text: not any(char.isascii() and char.isalnum() for char in text)
)
planted = st.builds(
    lambda *parts: "".join(parts), plain, edges, st.sampled_from(SECRETS), edges, plain
).filter(lambda text: "-4" not in text and "_4" not in text)
numbers = st.sampled_from([4111111111111111, 378282246310005, 4111111111111111.0])
values = st.recursive(
    planted | plain | numbers | st.booleans() | st.none() | st.floats(allow_nan=False, width=16),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(plain | planted, inner, max_size=4)
        | inner.map(json.dumps)
        | inner.map(lambda value: json.dumps(value, ensure_ascii=False))
    ),
    max_leaves=8,
)


@given(
    st.lists(values, max_size=3) | st.dictionaries(plain | planted, values, max_size=3),
    st.booleans(),
    st.sampled_from([None, 2]),
)
@example({"t": f"hello\nann@example.com\n{KEY}\nBearer abcdef1234567890"}, True, None)
@example({"api_key": 1234567890123, "a": {"api_key": "0123456789abcdef"}}, True, None)
@example([json.dumps([json.dumps({"card": 4111111111111111, "t": f"x\n{KEY}"})])], True, None)
def test_masked_json_is_json(value, in_ascii, indent):
    """JSON in a string is JSON after masking, at any depth, and holds no secret."""
    text = json.dumps(value, ensure_ascii=in_ascii, indent=indent)
    masked = mask_text(text)
    seen = []

    def read(found):
        if isinstance(found, str):
            seen.append(found)
            if found[:1] in {"{", "["} and found[-1:] in {"}", "]"}:
                try:
                    found = json.loads(found)
                except ValueError:
                    return
                read(found)
        elif isinstance(found, (list, dict)):
            for item in found:
                read(item)
            if isinstance(found, dict):
                read(list(found.values()))
        else:
            assert found not in {4111111111111111, 378282246310005}

    read(json.loads(masked))
    assert not [part for part in SECRET_PARTS if any(part in text for text in seen)]
    assert type(json.loads(masked)) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1.5e10, True, None, "a\n\u00e9\\/ @ b", "x" * 100], "c": {}, "d": [[]]},
        ["https://x.example/a%20b", 41111111111, 4111111111111112],
    ],
)
def test_other_json_stays(value):
    """JSON that holds no secret is the same text afterwards; beside a secret, the rest is."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=3)):
        assert mask_text(text) == text
        assert mask_text(f"a {text} b@c.example") == f"a {text} [email]"


@pytest.mark.parametrize(
    "text, masked",
    [
        (f"a%20{KEY}%20b", "a%20[api key]%20b"),
        (f"%2520{KEY}", "%2520[api key]"),
        ("x=%0Aann@x.example", "x=%0A[email]"),
        ("%204111111111111111", "%20[card]"),
        ("4111%201111%201111%201111", "[card]"),
        ("a=Bearer%20abcdef1234567890", "a=Bearer%20[token]"),
        ("api_key%3Dabcdef1234567890", "api_key%3D[api key]"),
        (rf"hello\n{KEY}\nann@x.example", r"hello\n[api key]\n[email]"),
        (rf"DOMAIN\{KEY}", r"DOMAIN\[api key]"),
        (r"C:\npm_abcdef0123456789", r"C:\n[api key]"),
        (rf'{{"t": "cut \u201c{KEY}', r'{"t": "cut \u201c[api key]'),
        (r'{"t": "cut j\u00fcrgen@m\u00fcller.example', '{"t": "cut [email]'),
        (r"{\"api_key\": \"0123456789abcdef\"", r"{\"api_key\": \"[api key]\""),
        (r"cut, \"api_key\": 1234567890123", r"cut, \"api_key\": \"[api key]\""),
        (r"cut, \"n\": 4111111111111111}", r"cut, \"n\": \"[card]\"}"),
        ("{'api_key': '0123456789abcdef'}", "{'api_key': '[api key]'}"),
        ('{"api_key": abcdef0123456789}', '{"api_key": [api key]}'),
        ('["a", 4111 1111 1111 1111]', '["a", [card]]'),
        ('```json\n{"n": 4111111111111111}\n```', '```json\n{"n": "[card]"}\n```'),
        ("api_key:\n  0123456789abcdef", "api_key:\n  [api key]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [token]"),
        ("Basic dXNlcjpwYXNz", "Basic [token]"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer [token]"),
        ('{"Authorization": "Bearer abcdefghij"}', '{"Authorization": "Bearer [token]"}'),
        ("Basic JavaScript, basic arithmetic", "Basic JavaScript, basic arithmetic"),
        ("a@b.example@c.example", "[email][email]"),
        ("4111 1111 1111 1111 4111 1111 1111 1111", "[card] [card]"),
        ("1234 4111 1111 1111 1111 123", "1234 [card] 123"),
    ],
)
def test_escaped_text(text, masked):
    """An escape stands between two words and stays whole."""
    assert mask_text(text) == masked


def test_names_of_values():
    """A value that only its key makes a secret is masked."""
    assert mask_text("0123456789abcdef", "x-api-key") == "[api key]"
    assert mask_text("Basic dXNlcjpw", "Authorization") == "Basic [token]"
    assert mask_text("Bearer abcdefghij", "proxy-authorization") == "Bearer [token]"
    assert mask_text("0123456789abcdef", "key_id") == "0123456789abcdef"


@pytest.mark.parametrize(
    "secret", [f"api_key:\n{KEY[8:]}", f"Basic\n{KEY[8:]}", "4111" + " 1111" * 3]
)
@pytest.mark.parametrize("between", ["\n", ",", "|"])
def test_long_text(secret, between):
    """Wherever a long text is parted, what is in it is found."""
    text = (between * 977 + secret) * 200
    for shift in range(0, 2 * len(secret), 7):
        masked = mask_text("x" * (64 * 1024 - shift) + text)
        assert KEY[8:] not in masked
        assert " 1111" not in masked


@pytest.mark.parametrize(
    "text",
    [
        "4000 " * 200_000,
        '{"' * 200_000 + " a@b.example",
        "[1] {}" * 100_000 + " a@b.example",
        '["' + "\\" * 400_000 + '"] a@b.example',
        '["' + '[\\"' * 100_000 + '"] a@b.example',
        " %20" * 100_000,
        "\\n" * 200_000,
    ],
    ids=["groups", "quotes", "brackets", "backslashes", "nested", "percent", "newlines"],
)
def test_bounded_time(text):
    """A megabyte takes about a second at the most, whatever it nearly matches."""
    began = time.thread_time()
    mask_text(text)
    assert time.thread_time() - began < 3


def test_other_threads_run():
    """While a long text without any break is masked, other threads get their turns."""
    text = "a1b2" * 1_250_000
    waits = []
    masking = threading.Thread(target=mask_text, args=(text,))
    masking.start()
    while masking.is_alive():
        began = time.perf_counter()
        masking.join(0.001)
        waits.append(time.perf_counter() - began)
    waits.sort()
    assert len(waits) > 10
    assert waits[len(waits) // 2] < 0.05
