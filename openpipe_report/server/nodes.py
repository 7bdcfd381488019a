"""Counts the values of a JSON text without parsing it, so that too many are never built."""

from __future__ import annotations

import re

_KEPT = b'{[,"'
_NOT_KEPT = bytes(set(range(256)) - set(_KEPT))
_TEXT = re.compile(rb'"[^"]*"')


def has_more_nodes(body: bytes | bytearray, limit: int) -> bool:
    """
    Return whether a JSON text has more arrays, objects and commas than `limit`.

    There is at most one value more than that. Commas and brackets in strings do not count. The scan
    is linear; of a text that is not JSON the result means nothing.
    """
    if sum(map(body.count, (b"{", b"[", b","))) <= limit:
        return False
    # Without escapes every quote begins or ends a string.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_KEPT)
    count, outside_from = 0, 0
    for text in _TEXT.finditer(plain):
        count += text.start() - outside_from
        outside_from = text.end()
        if count > limit:
            return True
    return count + len(plain) - outside_from > limit
