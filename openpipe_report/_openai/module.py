"""
What `import openpipe_report as openai` needs: openai's names, its module-level client and settings.

A client class that openai exports becomes its drop-in, one that a later openai adds as well. The
module-level resources (`chat`, `responses`, ...) go through a copy of openai's own module-level
client, so its settings hold; setting one on our module sets openai's. Calls that are made through
`openai` itself stay unreported.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import httpx  # noqa: F401 - whole, before any client: openai 3 looks for it in sys.modules
import openai
from openai._client import OpenAIWithRawResponse, OpenAIWithStreamedResponse
from openai._resource import SyncAPIResource
from openai._utils import LazyProxy

from openpipe_report._delivery.destination import load_reporting_config
from openpipe_report._openai.classes import drop_in_class
from openpipe_report._openai.resources import reclass_resources

Client = OpenAI = drop_in_class(openai.OpenAI)
AsyncClient = AsyncOpenAI = drop_in_class(openai.AsyncOpenAI)

SETTINGS = frozenset(name for name in openai.__annotations__ if not name.startswith("_"))
"""Module-level settings (`api_key`, `base_url`, ...): what openai's module declares with a type."""


def attribute_of_openai(name: str) -> Any:
    """Return what openai has by this name, a client class or a proxy of a client as ours."""
    return under_our_name(name, getattr(openai, name))


def under_our_name(name: str, value: Any) -> Any:
    """Return what stands in our modules for a value of openai's, and is the same in most cases."""
    kind = type(value)  # not isinstance(): that loads what a proxy stands for
    if kind.__module__ == "openai._module_client" and not issubclass(kind, type):
        return _resource_proxy(name)  # other proxies have no client
    if issubclass(kind, type) and issubclass(value, _CLIENTS):
        return drop_in_for(value)
    if issubclass(kind, ModuleType) and may_have_clients(value.__name__):
        return import_module(f"openpipe_report.{value.__name__.removeprefix('openai.')}")
    return value


def may_have_clients(module: str) -> bool:
    """Whether a module of openai's, or one below it, may have client classes."""
    return f"{module}.".startswith(_MODULES_OF_CLIENTS)


_MODULES_OF_CLIENTS = ("openai._client.", "openai._module_client.", "openai.lib.")


_CLIENTS = (openai.OpenAI, openai.AsyncOpenAI)
"""Bound here: somebody may put ours in their place, as tests and patches do."""

_drop_ins: dict[type, type] = {openai.OpenAI: OpenAI, openai.AsyncOpenAI: AsyncOpenAI}


def drop_in_for(base: type) -> type:
    """Return the reporting class for a client class of openai's; for one of ours itself."""
    if issubclass(base, (OpenAI, AsyncOpenAI)):
        return base
    if base not in _drop_ins:
        parents = (cls for cls in base.__mro__[1:] if issubclass(cls, _CLIENTS))
        public = next(cls for cls in parents if not cls.__name__.startswith("_"))
        made = drop_in_class(base, derived_from=drop_in_for(public))
        _drop_ins.setdefault(base, made)  # of two threads, both get the class of the first
    return _drop_ins[base]


AzureOpenAI = drop_in_for(openai.AzureOpenAI)
AsyncAzureOpenAI = drop_in_for(openai.AsyncAzureOpenAI)


_MADE_WITH_A_CLIENT = (SyncAPIResource, OpenAIWithRawResponse, OpenAIWithStreamedResponse)

_module_client: tuple[Any, Any] = (None, None)
"""openai's module-level client, and the reporting copy of it."""


def load_client() -> Any:
    """Return the reporting copy of openai's module-level client; made anew when that is."""
    global _module_client  # noqa: PLW0603 - as openai keeps its own
    original = openai._load_client()
    if _module_client[0] is not original:
        copy: Any = object.__new__(drop_in_for(type(original)))
        config = load_reporting_config(None, None).for_client(original.base_url)
        copy.__dict__.update(vars(original), _openpipe_config=config)
        for name, value in vars(original).items():
            # Resources know their client; until openai 1.67 all are made with it.
            if isinstance(value, _MADE_WITH_A_CLIENT):
                copy.__dict__[name] = type(value)(copy)
        reclass_resources(copy)
        _module_client = (original, copy)
    return _module_client[1]


@cache
def _resource_proxy(name: str) -> Any:
    class Proxy(LazyProxy[Any]):
        def __load__(self) -> Any:
            return getattr(load_client(), name)

    return Proxy()
