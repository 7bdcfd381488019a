"""
Classes that report: openai's own with the overrides of `_client`, under the same name.

There are two ways to make one: for a class of this package, and for clients that exist already.
"""

from __future__ import annotations

import functools
import inspect
from types import CellType, FunctionType
from typing import Any

from openai._base_client import SyncAPIClient

from openpipe_report._delivery.destination import inherit_config
from openpipe_report._openai.interception import AsyncReporting, Reporting, SyncReporting
from openpipe_report._openai.resources import lazy_resources


def is_reporting(client: object) -> bool:
    """Whether a client is one of ours, or was instrumented."""
    return "_openpipe_config" in vars(client)


def _with_signatures(cls: type, base: type) -> type:
    """Let `inspect.signature` show the parameters of `base` and our two."""
    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ("openpipe", "reporter")
    ]
    aliased = getattr(base, "with_options", None) is getattr(base, "copy", None)
    for name in ("__init__", "copy"):
        original = getattr(base, name)
        signature = inspect.signature(original)
        parameters = list(signature.parameters.values())
        last = len(parameters)
        if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
            last -= 1
        new = [parameter for parameter in ours if parameter.name not in signature.parameters]
        signature = signature.replace(parameters=[*parameters[:last], *new, *parameters[last:]])
        setattr(cls, name, _signed(getattr(cls, name), original, signature))
    own = cls.copy if aliased else _inheriting(base.with_options)  # type: ignore[attr-defined]
    cls.with_options = own  # type: ignore[attr-defined]
    return cls


def _inheriting(original: Any) -> Any:
    """Let the copies that a class makes in its own way report as their original."""

    @functools.wraps(original)
    def with_options(self: Any, *args: Any, **kwargs: Any) -> Any:
        with inherit_config(vars(self)["_openpipe_config"]):
            return original(self, *args, **kwargs)

    return with_options


def _signed(method: Any, original: Any, signature: inspect.Signature) -> Any:
    @functools.wraps(original)
    def signed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    signed.__signature__ = signature  # type: ignore[attr-defined]
    return signed


def reporting_class(base: type, *, derived_from: type | None = None) -> type:
    """
    Make the drop-in class for one of openai's client classes.

    It keeps the name of the one it stands for: openai's User-Agent is made of it.

    Args:
        base: A client class of openai's.
        derived_from: Our class for the one that `base` derives from, so that `isinstance` holds
            between ours as it does between openai's.
    """
    bases = (derived_from or _mixin_for(base), base)
    body = {"__doc__": base.__doc__, "__module__": "openpipe_report", **lazy_resources(base)}
    return _with_signatures(type(base.__name__, bases, body), base)


def replacing_class(base: type) -> type:
    """
    Make the class that existing instances of `base`, a client class, can be given.

    Python allows that only where the first base is the same, so it has a copy of each method that
    a drop-in inherits.
    """
    same = {name: getattr(base, name) for name in ("__doc__", "__module__", "__qualname__")}
    made = type(base.__name__, (base,), {**same, **lazy_resources(base)})
    for kind in (Reporting, _mixin_for(base)):
        for name, member in vars(kind).items():
            if isinstance(member, FunctionType):
                setattr(made, name, _copied(member, made))
            elif isinstance(member, property):
                setattr(made, name, member)
    return _with_signatures(made, base)


def _mixin_for(base: type) -> type:
    return SyncReporting if issubclass(base, SyncAPIClient) else AsyncReporting


def _copied(method: FunctionType, owner: type) -> FunctionType:
    """Copy a method for another class: `super()` in it goes by the cell of its class."""
    copied = FunctionType(
        method.__code__,
        method.__globals__,
        method.__name__,
        method.__defaults__,
        (CellType(owner),) if method.__code__.co_freevars == ("__class__",) else method.__closure__,
    )
    copied.__kwdefaults__ = method.__kwdefaults__
    return copied
