"""
How chunks are merged: by rule, not by a list of fields, so that what a vendor adds is kept.

Lists whose entries have an `index` are merged by it, others by order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

IDENTIFIERS = frozenset({"id", "index", "type", "role", "object", "model", "format", "created"})
"""Keys whose values stay as they came first."""

Combine = Callable[[str, Any, Any], Any]


def merge_delta(into: Json, delta: Json) -> None:
    """Add a delta to what has come so far: strings grow, identifiers stay."""
    _merge(into, delta, _grow)


def merge_last(into: Json, new: Json) -> None:
    """Add what is no delta to what has come so far: the last value that is not null wins."""
    _merge(into, new, _last_wins)


def _merge(into: Json, new: Json, combine: Combine) -> None:
    for key, value in new.items():
        old = into.get(key)
        if isinstance(value, list) and (old is None or isinstance(old, (list, str))):
            into[key] = _merge_list(_as_parts(old), value, combine)
        elif isinstance(value, dict) and (old is None or isinstance(old, dict)):
            into[key] = {} if old is None else old
            _merge(into[key], value, combine)
        elif isinstance(old, list) and isinstance(value, str):
            into[key] = _merge_list(old, _as_parts(value), combine)
        elif old is None:
            into[key] = value
        elif value is not None:
            into[key] = combine(key, old, value)


def _as_parts(content: Any) -> list[Any]:
    """Read content that comes as a string here and as a list of parts there (Mistral)."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def _last_wins(_key: str, _old: Any, new: Any) -> Any:
    return new


def _grow(key: str, old: Any, new: Any) -> Any:
    if not (isinstance(old, str) and isinstance(new, str)):
        return new if key not in IDENTIFIERS else old
    if key in IDENTIFIERS or key.endswith("_id"):
        return old or new
    if key == "status" or key.endswith("reason"):
        return new
    if key == "name":
        # Vendors repeat a name whole, or send it in pieces; OpenAI sends it once.
        return old if new == old else new if new.startswith(old) else old + new
    return old + new


def _merge_list(old: list[Any], new: list[Any], combine: Combine) -> list[Any]:
    for entry in new:
        into = _same_entry(old, entry)
        if into is None:
            fresh: Any = entry
            if isinstance(entry, dict):
                fresh = {}
                _merge(fresh, entry, combine)
            old.append(fresh)
        else:
            _merge(into, entry, combine)
    return old


def _same_entry(entries: list[Any], new: Any) -> Json | None:
    """Find the entry that a new one continues, or None where it is a further one."""
    if not isinstance(new, dict) or not entries or not isinstance(entries[-1], dict):
        return None
    if isinstance(new.get("index"), int):
        same = [e for e in entries if isinstance(e, dict) and e.get("index") == new["index"]]
        # Gemini gives every parallel call index 0; what names a function anew is another call.
        return same[-1] if same and not _is_another_call(same[-1], new) else None
    if "function" in new or "id" in new:
        return None if _is_another_call(entries[-1], new) else entries[-1]
    return entries[-1] if _is_fragment(entries[-1], new) else None


def _is_another_call(old: Json, new: Json) -> bool:
    if new.get("id") and old.get("id") and new["id"] == old["id"]:
        return False
    names = [_name_of(entry) for entry in (old, new)]
    if "index" in new:
        return bool(new.get("id") and old.get("id") and names[1])
    return bool(names[1] or (new.get("id") and old.get("id")))


def _name_of(call: Json) -> object:
    function = call.get("function")
    return function.get("name") if isinstance(function, dict) else call.get("name")


def _is_fragment(old: Json, new: Json) -> bool:
    """Whether both are pieces of one part, as `{"type": "text", "text": ...}` twice is."""
    kind = new.get("type")
    if not isinstance(kind, str) or old.get("type") != kind:
        return False
    grows = new.get(kind.rpartition(".")[2])
    return isinstance(grows, (str, list)) and set(new) <= set(old)
