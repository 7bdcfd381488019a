"""Text that differs from call to call and compresses about as prose does, not to nothing."""

from __future__ import annotations

import random

_SIZE = 300_000
_LETTERS = "eeeeeeetttttaaaaooooiiiinnnnssshhhrrrddllcuumwfgypbvk"


def _prose() -> str:
    choose = random.Random(1)  # noqa: S311 - no secret
    words = ["".join(choose.choices(_LETTERS, k=choose.randint(2, 9))) for _ in range(4_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(choose.choices(words, weights, k=_SIZE // 5))[:_SIZE]


_PROSE = _prose()


def text_at(number: int, size: int) -> str:
    """Return `size` characters; those of neighbouring numbers have nothing in common."""
    start = number * 7_919 % (_SIZE - size)
    return _PROSE[start : start + size]
