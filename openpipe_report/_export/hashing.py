"""Hashes of JSON values; members in another order have the same one."""

from __future__ import annotations

import json
from hashlib import sha256

from openpipe_report._report.json_codec import encode_json

_HASH_BYTES = 16


def hash_json(value: object) -> bytes:
    """Return 16 bytes that are the same on each machine and in each process."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    except (ValueError, TypeError, RecursionError):  # what this Python cannot write as it is
        text = encode_json(value)
    return sha256(text).digest()[:_HASH_BYTES]


def is_in_training(key: bytes, share: float) -> bool:
    """Return whether the prompt with this hash is one of the share that is for training."""
    return int.from_bytes(key[:8], "big") < share * 2**64
