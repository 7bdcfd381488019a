"""The differences of two texts, and how long finding them takes."""

from __future__ import annotations

import random
import time

import pytest

from openpipe_report.server.differences import MAX_CHARACTERS, compare


def marked(parts):
    return "".join(f"[{part.text}]" if part.is_different else part.text for part in parts)


@pytest.mark.parametrize(
    "left, right, marked_left, marked_right",
    [
        ("", "", "", ""),
        ("same", "same", "same", "same"),
        ("", "new", "", "[new]"),
        ("The cat sat.", "The dog sat.", "The [cat] sat.", "The [dog] sat."),
        ("one two", "one two three", "one two", "one two[ three]"),
        ("stop", "stopped", "[stop]", "[stopped]"),
        ("unfit to go", "fit to go", "[unfit] to go", "[fit] to go"),
        ("a, b and c", "a, x and c", "a, [b] and c", "a, [x] and c"),
        ("été 1", "été 2", "été [1]", "été [2]"),
    ],
)
def test_words(left, right, marked_left, marked_right):
    """Texts are compared word by word, and no word is cut in two."""
    found = compare(left, right)
    assert (marked(found.left), marked(found.right)) == (marked_left, marked_right)
    assert found.are_equal == (left == right)


def test_lines():
    """Texts with many words are compared line by line."""
    lines = [f"{number} some more words of a line\n" for number in range(500)]
    other = ["first\n", *lines[1:250], "new\n", *lines[251:-1], "last\n"]
    found = compare("".join(lines), "".join(other))
    left = [lines[0], lines[250], lines[-1].rstrip()]
    assert [part.text for part in found.left if part.is_different] == left
    assert [part.text for part in found.right if part.is_different] == [
        *("first\n", "new\n", "last")
    ]


def test_too_much():
    """Beyond that, all between the common begin and end differs."""
    random.seed(1)
    left, right = ("\n".join(str(random.random())[2:] for _ in range(5_000)) for _ in range(2))
    found = compare(f"begin {left} end", f"begin {right} end")
    assert [part.is_different for part in found.left] == [False, True, False]
    assert (found.left[0].text, found.left[2].text) == ("begin ", " end")


def words(count, kinds):
    return " ".join(f"w{random.randrange(kinds)}" for _ in range(count))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "a " * 2_000_000, id="one word"),
        pytest.param(lambda: "x" * random.randrange(4_000_000, 5_000_000), id="no words"),
        pytest.param(lambda: words(990, 2), id="two words"),
        pytest.param(lambda: words(990, 98), id="words that are in a hundredth of the places"),
        pytest.param(lambda: words(99, 3), id="few words"),
        pytest.param(lambda: words(2_000, 5).replace(" ", "\n"), id="lines"),
        pytest.param(lambda: "\u0301" * random.randrange(1_000_000, 2_000_000), id="no letters"),
    ],
)
def test_time(make):
    """No pair of texts takes long, and all characters of both are there."""
    random.seed(2)
    left, right = "x" + make() + "y", "z" + make() + "q"
    began = time.process_time()
    found = compare(left, right)
    assert time.process_time() - began < 2
    assert "".join(part.text for part in found.left) == left[:MAX_CHARACTERS]
    assert "".join(part.text for part in found.right) == right[:MAX_CHARACTERS]
