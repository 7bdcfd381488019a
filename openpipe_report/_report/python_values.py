"""
One step from a Python value to JSON: its members, its items, or a scalar.

Pydantic's serializer encodes dates, UUIDs, decimals, paths and their like. Containers are opened
here, one level at a time, so that depth and number are bounded and no iterator is consumed.
"""

from __future__ import annotations

from collections import ChainMap, UserDict, UserList, deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from os import PathLike, fspath
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from openpipe_report._report.describe import describe_error
from openpipe_report._report.shared_values import is_expandable

_MAPPINGS = (MappingProxyType, ChainMap, UserDict)
_ADAPTED = frozenset({"ipaddress", "pydantic", "pathlib", "re", "zoneinfo"})
_ITERABLES = (deque, range, UserList, KeysView, ValuesView, ItemsView)


def open_value(value: Any) -> Any:
    """
    Return the value's JSON form: a dict or list of any values, a scalar, or `<its type>`.

    Exceptions of the value's own methods come out.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (dict, list, tuple)):
        return value
    if isinstance(value, BaseModel):
        if not is_expandable(value):  # its fields alone may be what its serializers hide
            return f"<{name_of_type(value)}>"
        return value.model_dump(mode="python", warnings=False)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{name_of_type(value)}, {memoryview(value).nbytes} bytes>"
    if isinstance(value, (set, frozenset)):
        return _in_order(value)
    if isinstance(value, _MAPPINGS):
        return dict(value)
    if isinstance(value, _ITERABLES):
        return list(value)
    return _open_object(value)


def _open_object(value: Any) -> Any:
    if isinstance(value, (type, Iterator)) or hasattr(type(value), "__next__"):
        return f"<{name_of_type(value)}>"
    if isinstance(value, BaseException):
        return describe_error(value)
    if is_dataclass(value):
        return _attributes(value, [field.name for field in fields(value)])
    attrs = getattr(type(value), "__attrs_attrs__", None)
    if isinstance(attrs, tuple):
        return _attributes(value, [attribute.name for attribute in attrs])
    if isinstance(value, PathLike):
        return fspath(value)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return _open_array(value, shape)
    return str(value) if isinstance(value, (complex, Fraction)) else _scalar(value)


def name_of_type(value: Any) -> str:
    """Return the name of a value's type, without calling its metaclass."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


def _in_order(values: Any) -> list[Any]:
    try:
        return sorted(values)
    except Exception:  # noqa: BLE001 - values of different types, or a comparison that raises
        return list(values)


def _attributes(value: Any, names: list[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _open_array(value: Any, shape: tuple[int, ...]) -> Any:
    """Return the shape and type of an array (numpy and its like), or the value of a scalar."""
    kind = getattr(value, "dtype", "")
    if not shape and kind != "":
        # item() of nanoseconds is a plain integer.
        return str(value) if getattr(kind, "kind", "") in {"m", "M"} else value.item()
    return ", ".join(filter(None, [f"<{name_of_type(value)}", f"shape {shape}", str(kind)])) + ">"


def _scalar(value: Any) -> Any:
    try:
        found = to_jsonable_python(value)
    except Exception:  # noqa: BLE001 - an unknown type, or a method that raises
        found = _by_adapter(value)
    return found if isinstance(found, (str, int, float)) else f"<{name_of_type(value)}>"


def _by_adapter(value: Any) -> Any:
    """Serialize a type that older versions of pydantic do not infer."""
    kind = type(value)
    if kind.__module__.partition(".")[0] not in _ADAPTED:
        return None
    try:
        return TypeAdapter(kind).dump_python(value, mode="json", warnings=False)
    except Exception:  # noqa: BLE001 - the type has no JSON form
        return None
