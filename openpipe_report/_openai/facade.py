"""
The module `openpipe_report`: each name is imported at its first use, and then kept.

openai takes half a second of CPU to import, which a command or a program that only flushes need
not spend. Names that are not ours are openai's, by `module`; so are modules, by `submodules`. The
first use of a name is safe in any thread: the locks of the import system let one thread import
while the others wait.
"""

from __future__ import annotations

import pkgutil
import sys
import types
from functools import cached_property
from importlib import import_module
from typing import Any

from openpipe_report._openai.submodules import SubmoduleFinder

_DUNDER_NAMES_OF_OPENAI = frozenset({"__title__"})


class Facade(types.ModuleType):
    """The class of our package's module; `install()` says where its names are."""

    _sources: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        if name in self._sources:
            module, _, attribute = self._sources[name].partition(":")
            value = getattr(import_module(module, self.__name__), attribute or name)
            return self.__dict__.setdefault(name, value)
        if name == "__all__":
            return self._public_names()
        if name in self.submodules or (
            name.startswith("__") and name not in _DUNDER_NAMES_OF_OPENAI
        ):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from openpipe_report._openai import module as upstream  # noqa: PLC0415 - imports openai

        try:
            return upstream.attribute_of_openai(name)
        except AttributeError:
            message = f"module {self.__name__!r} has no attribute {name!r}, and openai has none"
            raise AttributeError(message) from None

    def __setattr__(self, name: str, value: object) -> None:
        if self._is_setting(name):
            setattr(sys.modules["openai"], name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_setting(name):
            delattr(sys.modules["openai"], name)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        import openai  # noqa: PLC0415 - slow to import

        names_of_openai = (name for name in dir(openai) if not name.startswith("_"))
        return sorted({*super().__dir__(), *self._public_names(), *names_of_openai, "__all__"})

    def _is_setting(self, name: str) -> bool:
        """Whether a name is one of openai's module-level settings; imports openai to see it."""
        # The import system sets each submodule as an attribute: that must not import openai.
        if name.startswith("_") or name in self._sources or name in self.submodules:
            return False
        from openpipe_report._openai import module as upstream  # noqa: PLC0415 - imports openai

        return name in upstream.SETTINGS

    def _public_names(self) -> list[str]:
        import openai  # noqa: PLC0415 - slow to import

        return sorted({*self._sources, *openai.__all__} - {"__version__"})

    @cached_property
    def submodules(self) -> frozenset[str]:
        """Our modules: what was not imported yet is no name of openai's, as `cli` would be."""
        return frozenset(found.name for found in pkgutil.iter_modules(self.__path__))


def install(name: str, sources: dict[str, str]) -> None:
    """
    Make the module of this name import its names at their first use.

    Args:
        name: A module in `sys.modules`.
        sources: For each name the module that defines it, relative to the package, with `:` and
            the name there where it is another one.
    """
    module: Any = sys.modules[name]
    module.__dict__["_sources"] = sources
    module.__class__ = Facade
    sys.meta_path.insert(0, SubmoduleFinder(name, lambda: module.submodules))
