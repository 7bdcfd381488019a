"""openai's submodules under our name: the same modules, but for those that have client classes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from unittest import mock

import openai
import pytest

import openpipe_report


@pytest.mark.parametrize(
    "name",
    [
        "types",
        "types.chat",
        "types.chat.chat_completion",
        "types.beta.threads",
        "types.responses",
        "resources.chat.completions",
        "pagination",
        "version",
        "_types",
        "_utils._proxy",
    ],
)
def test_the_same_module(name):
    """A submodule is openai's own, which stays as it was."""
    theirs = import_module(f"openai.{name}")
    spec = theirs.__spec__
    ours = import_module(f"openpipe_report.{name}")
    assert ours is theirs is sys.modules[f"openpipe_report.{name}"]
    assert theirs.__spec__ is spec
    assert (theirs.__name__, spec.name) == (f"openai.{name}", f"openai.{name}")
    assert find_spec(f"openpipe_report.{name}") is spec


def test_ways_to_import():
    """Each form of the import statement gives the same."""
    import openpipe_report.types.chat.chat_completion as leaf

    import openpipe_report as ours
    from openpipe_report import pagination, types
    from openpipe_report.types import chat
    from openpipe_report.types.chat import ChatCompletion

    assert leaf is openai.types.chat.chat_completion
    assert pagination is openai.pagination
    assert types is ours.types is openai.types
    assert chat is openai.types.chat
    assert ChatCompletion is ours.types.chat.ChatCompletion is openai.types.chat.ChatCompletion


@pytest.mark.parametrize(
    "where, name",
    [("_client", "OpenAI"), ("_client", "AsyncOpenAI"), ("lib.azure", "AsyncAzureOpenAI")],
)
def test_client_classes_are_ours(where, name):
    """A client class that is imported from one of openai's modules reports."""
    ours, theirs = import_module(f"openpipe_report.{where}"), import_module(f"openai.{where}")
    assert getattr(ours, name) is getattr(openpipe_report, name)
    assert getattr(theirs, name) is getattr(openai, name)
    assert {*dir(theirs)} <= {*dir(ours)}


def test_a_view():
    """What is no client class is the same in a module that has some; parts are found in it."""
    import openpipe_report.lib.azure
    from openpipe_report.lib.azure import AsyncAzureADTokenProvider
    from openpipe_report.lib.streaming.chat import ChatCompletionStream

    assert openpipe_report.lib is sys.modules["openpipe_report.lib"]
    assert openpipe_report.lib.azure is sys.modules["openpipe_report.lib.azure"]
    assert openai.lib.azure is sys.modules["openai.lib.azure"] is not openpipe_report.lib.azure
    assert openai.lib is not openpipe_report.lib
    assert AsyncAzureADTokenProvider is openai.lib.azure.AsyncAzureADTokenProvider
    assert ChatCompletionStream is openai.lib.streaming.chat.ChatCompletionStream
    assert openpipe_report.lib.azure.__doc__ == openai.lib.azure.__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        openpipe_report.lib.azure.no_such_name  # noqa: B018


def test_patching_a_view():
    """`mock.patch` on a view leaves openai as it was."""
    before = openai.lib.azure.AzureOpenAI
    with mock.patch("openpipe_report.lib.azure.AzureOpenAI", "patched"):
        assert openpipe_report.lib.azure.AzureOpenAI == "patched"
        assert openai.lib.azure.AzureOpenAI is before
    assert openpipe_report.lib.azure.AzureOpenAI is openpipe_report.AzureOpenAI


@pytest.mark.parametrize("name", ["cli", "server", "testing", "_log", "_openai.module"])
def test_ours_come_first(name):
    """A module of ours is not looked for in openai, which may have one of its name."""
    assert import_module(f"openpipe_report.{name}").__name__ == f"openpipe_report.{name}"


@pytest.mark.parametrize("name", ["nope", "types.nope", "types.chat.nope.deep", "version.nope"])
def test_unknown(name):
    """What neither has is not found, under the name that was asked for."""
    with pytest.raises(ModuleNotFoundError, match=f"openpipe_report.{name.partition('.nope')[0]}"):
        import_module(f"openpipe_report.{name}")


@pytest.mark.parametrize("part", ["", ".part"])
def test_what_openai_needs_is_missing(part, tmp_path, monkeypatch):
    """A package that openai needs and that is not installed is named as by openai."""
    (tmp_path / "optional").mkdir()
    (tmp_path / "optional" / "__init__.py").write_text("import no_such_dependency")
    monkeypatch.setattr(openai, "__path__", [*openai.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_module(f"openpipe_report.optional{part}")
    assert not [name for name in sys.modules if "optional" in name and "openpipe" in name]


def run_script(script):
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_no_client_class_anywhere_is_openais_own():
    """In no module of openai's, whatever its version, is a client class that does not report."""
    run_script("""
import importlib, pkgutil, sys, warnings
import openai, openpipe_report

warnings.simplefilter("ignore")
clients = openai.OpenAI, openai.AsyncOpenAI
reporting = openpipe_report.OpenAI, openpipe_report.AsyncOpenAI

def names(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name.endswith("__main__") or found.name == "openai.cli":
            continue  # ours has that name
        yield found.name
        if found.ispkg and found.name != "openai.types":
            try:
                yield from names(importlib.import_module(found.name))
            except Exception:
                pass  # it needs a package that is not installed

count = 0
for name in names(openai):
    try:
        importlib.import_module(name)
    except Exception:
        continue
    module = importlib.import_module("openpipe_report" + name.removeprefix("openai"))
    assert module is sys.modules[name] or module.__name__.startswith("openpipe_report."), name
    for attribute, value in [(each, getattr(module, each, None)) for each in dir(module)]:
        if issubclass(type(value), type) and issubclass(value, clients):
            count += 1
            assert issubclass(value, reporting), (name, attribute)
assert count >= 8, count
for name, module in [*sys.modules.items()]:
    if module.__name__.startswith("openai.") and name.startswith("openpipe_report."):
        assert module is sys.modules[module.__name__], name  # nothing is imported twice
""")


def test_first_import_in_many_threads():
    """Threads that import at the same time for the first time get the same modules."""
    run_script("""
import importlib, sys, threading
import openpipe_report
names = ["types.chat.chat_completion", "lib.azure", "types", "lib.streaming.chat", "_client"]
found, start = [], threading.Barrier(20)
def use(number):
    start.wait()
    for name in names[number % 5:] + names[:number % 5]:
        found.append((name, id(importlib.import_module(f"openpipe_report.{name}"))))
threads = [threading.Thread(target=use, args=(number,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 20 * len(names)
assert len(set(found)) == len(names), set(found)
assert openpipe_report.types.chat is sys.modules["openai.types.chat"]
assert openpipe_report.lib.azure.AzureOpenAI is openpipe_report.AzureOpenAI
""")
