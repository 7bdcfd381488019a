"""
Rules for merging the values of a stream, by the name of a key or the form of a value.

Most rules compare the last word of a key (`text` of `output_text`), so that they also cover keys
that vendors add.
"""

from __future__ import annotations

from openpipe_report._report.json_codec import parse_json

PADDING = frozenset({"obfuscation", "p"})
"""Fields that hide the length of a chunk (OpenAI, Mistral); an unstreamed answer lacks them."""

_IDENTIFIERS = frozenset(
    {"id", "index", "type", "role", "object", "model", "format", "created", "fingerprint"}
)
"""Last words of keys whose first value counts."""

_TEXTS = frozenset(
    {"content", "refusal", "arguments", "thinking", "thought", "transcript", "data", "text"}
    | {"input", "summary", "json", "code", "value", "delta"}
)
"""Last words of keys whose strings are pieces of a text."""

_STATES = frozenset({"status", "reason", "channel", "provider", "phase", "tier", "severity"})
"""Last words of keys whose last string counts."""

_SEQUENCES = ("token_ids", "tokens", "logprobs")
"""Ends of keys whose lists are pieces of a list, equal ones too."""


def is_identifier(key: str) -> bool:
    """Return whether the first value of a key counts."""
    return key.rpartition("_")[2] in _IDENTIFIERS


def is_text(key: str) -> bool:
    """Return whether the strings of a key are pieces of a text."""
    if key in _TEXTS:
        return True
    if is_identifier(key):
        return False
    return key.rpartition("_")[2] in _TEXTS or key.startswith("reasoning")


def is_state(key: str) -> bool:
    """Return whether the last string of a key counts."""
    return key.rpartition("_")[2] in _STATES


def is_sequence(key: str) -> bool:
    """Return whether the lists of a key are pieces of one list, even if they are equal."""
    return key.endswith(_SEQUENCES)


def repeats_whole(pieces: list[str]) -> bool:
    """Return whether each of several strings is a whole JSON object, not a piece of a text."""
    pieces = [piece for piece in pieces if piece]
    return len(pieces) > 1 and all(map(is_json_object, pieces))


def is_json_object(text: str) -> bool:
    """Return whether a string is one whole JSON object."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(parse_json(text), dict)
    except ValueError:
        return False
