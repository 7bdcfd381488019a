"""
`create(..., openpipe={...})`, as the openpipe SDK spells it, at run time.

Resources that can be reported (`chat.completions`, `completions`, `responses`, those of `beta`) are
re-classed, in place, to a subclass of the same name. Its methods put `openpipe` into `extra_body`,
from which `request()` takes it out again; signatures stay openai's. (A context variable would not
do: `stream()` sends later.) Typed code writes `extra_body={"openpipe": ...}` itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from openai._resource import AsyncAPIResource, SyncAPIResource

_NAMES = ("beta", "chat", "completions", "responses")
_METHODS = ("create", "parse", "stream", "compact")


def lazy_resources(cls: type) -> dict[str, Any]:
    """Return what a subclass of `cls` has to have, so that its lazily made resources are ours."""
    found = {name: inspect.getattr_static(cls, name, None) for name in _NAMES}
    return {
        name: _Lazy(name, original)
        for name, original in found.items()
        if isinstance(original, functools.cached_property)
    }


def reclass_resources(owner: object) -> None:
    """Re-class the resources that exist already: all of them until openai 1.67."""
    for name in _NAMES:
        _reclass(vars(owner).get(name))
    _renew_wrappers(owner)


def restore_resources(owner: object) -> None:
    """Give the resources of a client or resource their own class again."""
    for name in _NAMES:
        resource: Any = vars(owner).get(name)
        if hasattr(type(resource), "_openpipe_base"):
            resource.__class__ = resource._openpipe_base  # noqa: SLF001 - ours
            restore_resources(resource)
    _renew_wrappers(owner)


def _renew_wrappers(owner: object) -> None:
    """Rebuild `with_raw_response`: it caches methods bound to the previous class."""
    for name in ("with_raw_response", "with_streaming_response"):
        made = vars(owner).pop(name, None)
        if made is not None and not hasattr(type(owner), name):  # made by the constructor
            vars(owner)[name] = type(made)(owner)


class _Lazy:
    """In place of a `cached_property`: re-classes what that makes."""

    def __init__(self, name: str, original: functools.cached_property[Any]) -> None:
        self._name, self._original = name, original

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self._original
        made = vars(instance)[self._name] = _reclass(self._original.func(instance))
        return made


def _reclass(resource: Any) -> Any:
    if isinstance(resource, (SyncAPIResource, AsyncAPIResource)):
        kind: Any = type(resource)
        if not hasattr(kind, "_openpipe_base"):
            resource.__class__ = _subclass(kind)
        reclass_resources(resource)
    return resource


@functools.cache
def _subclass(kind: type) -> type:
    body = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "_openpipe_base": kind,
        **lazy_resources(kind),
    }
    made = type(kind.__name__, (kind,), body)
    for name in _METHODS:
        if hasattr(kind, name):
            setattr(made, name, _with_openpipe(made, name, getattr(kind, name)))
    return made


def _with_openpipe(owner: type, name: str, original: Any) -> Any:
    """Make the method; what it calls is looked up anew, since openai's may be patched by then."""

    @functools.wraps(original)
    def method(self: Any, *args: Any, openpipe: Any = None, **kwargs: Any) -> Any:
        if openpipe is not None:
            body = kwargs.get("extra_body")
            if body is None or isinstance(body, Mapping):
                kwargs["extra_body"] = {**(body or {}), "openpipe": openpipe}
        return getattr(super(owner, self), name)(*args, **kwargs)

    if not inspect.iscoroutinefunction(original):
        return method

    @functools.wraps(original)
    async def async_method(*args: Any, **kwargs: Any) -> Any:
        return await method(*args, **kwargs)

    return async_method
