"""
Submodules of openai under our name: `openpipe_report.types.chat` is `openai.types.chat`.

They are the same objects. What has client classes - `openai.lib` and everything below, `_client` -
is shown through a view instead, in which these are ours: no client class under our name may be one
that does not report. Modules of our own come first.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container


class SubmoduleFinder(MetaPathFinder, Loader):
    """
    Finds and loads openai's submodules for `import`; the locks of the import system hold.

    It has to come before Python's own finder. That would look for `openpipe_report.types.chat` in
    the folder of `openai.types`, and import the file there a second time, under our name.

    Args:
        package: The name of our package.
        own: The names of the modules that it has itself; asked for when they are needed.
    """

    def __init__(self, package: str, own: Callable[[], Container[str]]) -> None:
        self._prefix = f"{package}."
        self._own = own

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> Any:
        """Return how to load the submodule of this name; None if it is not one of openai's."""
        if not fullname.startswith(self._prefix):
            return None
        if fullname.removeprefix(self._prefix).partition(".")[0] in self._own():
            return None
        try:
            found = importlib.util.find_spec(self._original_name(fullname))
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.partition(".")[0] != "openai":
                raise  # something that openai needs is not installed
            return None
        if found is None:
            return None
        spec = ModuleSpec(fullname, self, is_package=found.submodule_search_locations is not None)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make a view where the module needs one; otherwise what `exec_module` replaces."""
        from openpipe_report._openai import module as upstream  # noqa: PLC0415 - imports openai

        original = import_module(self._original_name(spec.name))
        return _View(spec.name, original) if upstream.may_have_clients(original.__name__) else None

    def exec_module(self, module: ModuleType) -> None:
        """Put openai's own module in the place of an empty one; `import` goes on with that."""
        if not isinstance(module, _View):
            sys.modules[module.__name__] = import_module(self._original_name(module.__name__))

    def _original_name(self, name: str) -> str:
        return f"openai.{name.removeprefix(self._prefix)}"


class _View(ModuleType):
    """A module of openai's in which the client classes are ours."""

    def __init__(self, name: str, original: ModuleType) -> None:
        super().__init__(name, original.__doc__)
        self._original = original

    def __getattr__(self, name: str) -> Any:
        from openpipe_report._openai import module as upstream  # noqa: PLC0415 - imports openai

        return upstream.under_our_name(name, getattr(self._original, name))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._original)})
