"""
Write the stubs of openai's names under ours, for type checkers, from the installed openai.

`openpipe_report/_signatures.pyi` has our client classes: constructors and `copy` have openai's
signatures, with `openpipe=` and `reporter=` added. `openpipe_report/types/` has a stub for each
package below `openai.types`; at run time the modules are openai's own. Run it with the newest
openai; a test compares the stubs with its source.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import openai

PACKAGE = Path(__file__).parent.parent / "openpipe_report"

CLASSES = {
    "OpenAI": ("openai.OpenAI",),
    "AsyncOpenAI": ("openai.AsyncOpenAI",),
    "AzureOpenAI": ("OpenAI", "openai.AzureOpenAI"),
    "AsyncAzureOpenAI": ("AsyncOpenAI", "openai.AsyncAzureOpenAI"),
    "BedrockOpenAI": ("OpenAI", "openai.BedrockOpenAI"),
    "AsyncBedrockOpenAI": ("AsyncOpenAI", "openai.AsyncBedrockOpenAI"),
}

HEADER = '''"""
Our client classes for type checkers: openai's signatures with our two parameters.

Written by scripts/make_signatures.py from openai's source.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, overload

import httpx2
import openai
from openai._provider import _Provider
from openai.auth import WorkloadIdentity, X509WorkloadIdentity
from openai.lib.azure import AsyncAzureADTokenProvider, AzureADTokenProvider
from openai.lib.bedrock import (
    AsyncBedrockTokenProvider,
    AwsCredentialsProvider,
    BedrockTokenProvider,
    _LegacyBedrockState,
)
from typing_extensions import Self

from openpipe_report._delivery.arguments import SettingsArguments
from openpipe_report._delivery.reporter import Reporter
'''


def signature_of(function: ast.FunctionDef) -> str:
    """Return a method's signature with our two parameters; defaults are written as `...`."""
    arguments = function.args
    ours = ast.parse("def f(*, openpipe: SettingsArguments | None = ..., "
                     "reporter: Reporter | None = ...): ...").body[0].args  # type: ignore[attr-defined]  # fmt: skip
    arguments.kwonlyargs += ours.kwonlyargs
    arguments.kw_defaults = [
        None if default is None else ast.Constant(...) for default in arguments.kw_defaults
    ] + ours.kw_defaults
    returns = "None" if function.name == "__init__" else "Self"
    return f"    def {function.name}({ast.unparse(arguments)}) -> {returns}: ...\n"


def stub_of(name: str, bases: tuple[str, ...]) -> str:
    """Return the stub of one class."""
    module = sys.modules[getattr(openai, name).copy.__module__]
    tree = ast.parse(inspect.getsource(module))
    cls = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    methods = [node for node in cls.body if isinstance(node, ast.FunctionDef)]
    lines = [f"\n\nclass {name}({', '.join(bases)}):\n"]
    for method in ("__init__", "copy"):
        same = [node for node in methods if node.name == method]
        overloads = [node for node in same if "overload" in map(ast.unparse, node.decorator_list)]
        for node in overloads or same:
            if overloads:
                lines.append("    @overload\n")
            lines.append(signature_of(node))
    lines.append("    with_options = copy\n")
    return "".join(lines)


def reexports() -> str:
    """Return an import of openai's other exports, so that they can be imported from us."""
    names = {name for name in [*openai.__all__, *dir(openai)] if not name.startswith("_")}
    names -= {*CLASSES, *openai.lib._old_api.__all__, "Client", "AsyncClient", "override", "types"}  # noqa: SLF001
    names.discard("annotations")
    return "from openai import (\n" + "".join(f"    {n} as {n},\n" for n in sorted(names)) + ")\n"


def signatures() -> str:
    """Return the stub of the client classes."""
    classes = "".join(stub_of(name, bases) for name, bases in CLASSES.items())
    aliases = "\n\nClient = OpenAI\nAsyncClient = AsyncOpenAI\n"
    return HEADER + reexports() + classes + aliases


def stubs_of_types() -> dict[Path, str]:
    """Return the stub of each package below `openai.types`, by the path of its file."""
    root = Path(inspect.getfile(openai.types)).parent
    stubs = {}
    for found in sorted(root.rglob("__init__.py")):
        place = found.parent.relative_to(root.parent)
        name = ".".join(["openai", *place.parts])
        inside = sorted(
            each.parent.name
            for each in found.parent.glob("*/__init__.py")
            if f"{name}.{each.parent.name}" in sys.modules
        )
        lines = [
            "# Written by scripts/make_signatures.py",
            f"from {name} import *",
            *([""] if inside else []),
            *(f"from . import {name} as {name}" for name in inside),
        ]
        stubs[PACKAGE / place / "__init__.pyi"] = "\n".join(lines) + "\n"
    return stubs


def main() -> int:
    """Write the stubs; with --check compare them with the existing files instead."""
    stubs = {PACKAGE / "_signatures.pyi": signatures(), **stubs_of_types()}
    there = {PACKAGE / "_signatures.pyi", *(PACKAGE / "types").rglob("*.pyi")}
    if "--check" in sys.argv[1:]:
        same = there == stubs.keys() and all(
            ast.dump(ast.parse(text)) == ast.dump(ast.parse(path.read_text("utf-8")))
            for path, text in stubs.items()
        )
        if not same:
            sys.stderr.write("run scripts/make_signatures.py: openai's signatures have changed\n")
        return not same
    for path in there - stubs.keys():
        path.unlink()
    for path, text in stubs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
