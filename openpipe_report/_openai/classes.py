"""
Classes that report: openai's own, with the overrides of `interception`, under the same name.

A drop-in class and the class that an existing client is given are made in the same way.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from openai._base_client import SyncAPIClient

from openpipe_report._delivery.destination import inherit_config
from openpipe_report._openai.interception import overrides_for
from openpipe_report._openai.resources import lazy_resources


def is_reporting(client: object) -> bool:
    """Whether a client is one of ours, or was instrumented."""
    return "_openpipe_config" in vars(client)


def drop_in_class(base: type, *, derived_from: type | None = None) -> type:
    """
    Make the drop-in class for one of openai's client classes.

    It keeps the name of the one it stands for: openai's User-Agent is made of it.

    Args:
        base: A client class of openai's.
        derived_from: Our class for the one that `base` derives from, so that `isinstance` holds
            between ours as it does between openai's. The overrides are inherited from it.
    """
    if derived_from is not None:
        return _signed_like(base, _subclass(base, (derived_from, base), "openpipe_report"))
    return _overriding(base, "openpipe_report")


def instrumented_class(base: type) -> type:
    """
    Make the class that existing instances of `base`, a client class, can be given.

    Python allows that only where `base` is the first base.
    """
    return _overriding(base, base.__module__, __qualname__=base.__qualname__)


def _overriding(base: type, module: str, **attributes: Any) -> type:
    made = _subclass(base, (base,), module, **attributes)
    for name, member in overrides_for(made, is_async=not issubclass(base, SyncAPIClient)).items():
        setattr(made, name, member)
    return _signed_like(base, made)


def _subclass(base: type, bases: tuple[type, ...], module: str, **attributes: Any) -> type:
    body = {"__doc__": base.__doc__, "__module__": module, **attributes, **lazy_resources(base)}
    return type(base.__name__, bases, body)


def _signed_like(base: type, made: Any) -> type:
    """Let `inspect.signature` show the parameters of `base` and our two; renew `with_options`."""
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
        setattr(made, name, _signed(getattr(made, name), original, signature))
    made.with_options = made.copy if aliased else _inheriting(base.with_options)  # type: ignore[attr-defined]
    return made  # type: ignore[no-any-return]


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
