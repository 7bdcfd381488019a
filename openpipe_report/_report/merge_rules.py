"""
What the name of a key, or the form of a value, says about how the values of a stream are merged.

Rules go by the last word of a key (`text` for `output_text`), so that they hold for what vendors
add, too.
"""

from __future__ import annotations

from openpipe_report._report.json_codec import parse_json

PADDING = frozenset({"obfuscation", "p"})
"""Fields that only hide the length of a chunk (OpenAI, Mistral); no unstreamed answer has them."""

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
    """Whether the first value of a key counts."""
    return key.rpartition("_")[2] in _IDENTIFIERS


def is_text(key: str) -> bool:
    """Whether the strings of a key are pieces of a text."""
    if key in _TEXTS:
        return True
    if is_identifier(key):
        return False
    return key.rpartition("_")[2] in _TEXTS or key.startswith("reasoning")


def is_state(key: str) -> bool:
    """Whether the last string of a key counts."""
    return key.rpartition("_")[2] in _STATES


def is_sequence(key: str) -> bool:
    """Whether the lists of a key are pieces of a list, so that equal ones are no repetition."""
    return key.endswith(_SEQUENCES)


def repeats_whole(pieces: list[str]) -> bool:
    """Whether each string is a whole JSON object, so that together they are no text."""
    pieces = [piece for piece in pieces if piece]
    return len(pieces) > 1 and all(map(is_json_object, pieces))


def is_json_object(text: str) -> bool:
    """Whether a string is one whole JSON object."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(parse_json(text), dict)
    except ValueError:
        return False
