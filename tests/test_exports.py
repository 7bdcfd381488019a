"""What can be imported, and what importing does."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints
from unittest import mock

import openai
import pytest
from support.shapes import chat_completion

import openpipe_report
from openpipe_report._openai import module

OURS = [name for name in openpipe_report.__all__ if name not in openai.__all__]


def test_all_is_true():
    """Every name in `__all__` is there, once."""
    assert len(set(openpipe_report.__all__)) == len(openpipe_report.__all__)
    for name in openpipe_report.__all__:
        assert getattr(openpipe_report, name) is not None or name in openai.__all__


def test_everything_of_openai():
    """Every public name of openai can be imported from us."""
    missing = [
        name
        for name in dir(openai)
        if not name.startswith("_") and not hasattr(openpipe_report, name)
    ]
    assert missing == []
    assert openpipe_report.RateLimitError is openai.RateLimitError
    assert {*openai.__all__} <= {*openpipe_report.__all__, "__version__"}


def test_no_client_class_is_openais_own():
    """No client class that can be imported from us is one that does not report."""
    classes = {
        name: value
        for name in dir(openpipe_report)
        # not isinstance(): a module-level proxy of openai 1 makes its client for that
        if issubclass(type(value := getattr(openpipe_report, name)), type)
        and issubclass(value, (openai.OpenAI, openai.AsyncOpenAI))
    }
    assert {"OpenAI", "AsyncOpenAI", "Client", "AsyncClient", "AzureOpenAI"} <= classes.keys()
    for name, value in classes.items():
        assert value.request is not getattr(openai, name).request, name
        assert value.__name__ == getattr(openai, name).__name__


def test_a_later_client_class(monkeypatch):
    """A client class that a later openai exports reports as well, under its own name."""

    class LaterOpenAI(openai.OpenAI):
        pass

    monkeypatch.setattr(openai, "LaterOpenAI", LaterOpenAI, raising=False)
    later = openpipe_report.LaterOpenAI
    assert issubclass(later, (LaterOpenAI, openpipe_report.OpenAI))
    assert later.__name__ == "LaterOpenAI"
    assert openpipe_report.LaterOpenAI is later


def test_classes_derive_as_openais_do():
    """A drop-in is an instance of what openai's is, also when ours stand in openai's place."""
    azure_module = module.drop_in_for(openai._AzureModuleClient)
    assert issubclass(azure_module, openpipe_report.AzureOpenAI)
    assert issubclass(azure_module, openpipe_report.OpenAI)
    assert module.drop_in_for(azure_module) is azure_module


def test_ours_in_openais_place(scripted):
    """Who puts our classes into the openai module still gets ours from us, sync and async."""
    scripted.json(chat_completion())
    run_script(f"""
import openai, openpipe_report
from openpipe_report.testing import captured_reports
for name in ("OpenAI", "AsyncOpenAI", "AzureOpenAI"):
    setattr(openai, name, getattr(openpipe_report, name))
openpipe_report.api_key = "sk-module"
openpipe_report.base_url = {scripted.base_url!r}
with captured_reports() as reports:
    openpipe_report.chat.completions.create(model="m", messages=[])
assert len(reports) == 1
""")


def test_old_api():
    """The names that openai took out in 1.0 say so, as openai's do."""
    with pytest.raises(openai.lib._old_api.APIRemovedInV1):
        openpipe_report.Completion.create()


@pytest.mark.parametrize("name", ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"])
@pytest.mark.parametrize("method", ["__init__", "copy", "with_options"])
def test_type_hints_resolve(name, method):
    """The annotations of what we override are evaluated as openai's are."""
    ours, theirs = getattr(getattr(openpipe_report, name), method), getattr(openai, name)
    assert get_type_hints(ours) == get_type_hints(getattr(theirs, method))
    assert list(inspect.signature(ours).parameters)[-2:] == ["openpipe", "reporter"]


def test_unknown_name():
    """A name that neither has raises AttributeError."""
    with pytest.raises(AttributeError, match="no_such_name"):
        openpipe_report.no_such_name  # noqa: B018
    assert not hasattr(openpipe_report, "__wrapped__")


@pytest.fixture
def module_client(monkeypatch, scripted):
    """openai's module-level client, made anew for the test."""
    for name in ("api_key", "base_url", "api_type", "default_headers", "max_retries"):
        monkeypatch.setattr(openai, name, getattr(openai, name))
    monkeypatch.setattr(openai, "http_client", None)
    openai._reset_client()
    openpipe_report.api_key = "sk-module"
    openpipe_report.base_url = scripted.base_url
    openpipe_report.max_retries = 0
    yield
    module.load_client().close()
    openai._reset_client()


def test_module_level_call(module_client, scripted, reports):
    """Module-level calls are reported, with the settings of our module, which are openai's."""
    assert openai.api_key == "sk-module"
    scripted.json(chat_completion())
    answer = openpipe_report.chat.completions.create(
        model="m", messages=[], metadata={"from": "module"}
    )
    assert isinstance(answer, openai.types.chat.ChatCompletion)
    assert scripted.requests[0].header("authorization") == "Bearer sk-module"
    assert "metadata" not in scripted.requests[0].json()
    [report] = reports
    assert report.reqPayload["metadata"] == {"from": "module"}


def test_module_level_openpipe_argument(module_client, scripted, reports):
    """Module-level calls take `openpipe=` as those of a client do."""
    scripted.json(chat_completion())
    openpipe_report.chat.completions.create(
        model="m", messages=[], openpipe={"tags": {"prompt_id": "p1"}}
    )
    assert scripted.requests[0].json() == {"model": "m", "messages": []}
    assert reports[0].tags["prompt_id"] == "p1"


def test_module_level_settings_change(module_client, scripted, reports):
    """A setting that is changed later holds for the next call."""
    for key in ("sk-1", "sk-2"):
        openpipe_report.api_key = key
        scripted.json(chat_completion())
        openpipe_report.chat.completions.create(model="m", messages=[])
    keys = [request.header("authorization") for request in scripted.requests]
    assert keys == ["Bearer sk-1", "Bearer sk-2"]
    assert len(reports) == 2


def test_calls_through_openai_are_not_reported(module_client, scripted, reports):
    """Calls through `openai` itself stay as they are."""
    scripted.json(chat_completion())
    openai.chat.completions.create(model="m", messages=[])
    assert reports == []


def test_our_own_names_stay_ours():
    """Setting a name of ours does not reach openai."""
    openpipe_report.some_mark = 1
    assert not hasattr(openai, "some_mark")
    del openpipe_report.some_mark


def test_import_does_nothing(tmp_path):
    """Importing starts no thread, opens no socket and reads none of our settings."""
    script = """
import os, sys, threading
import openai
read = []
class Spy(type(os.environ)):
    def __getitem__(self, key):
        read.append(key); return super().__getitem__(key)
    def get(self, key, default=None):
        read.append(key); return super().get(key, default)
os.environ.__class__ = Spy
sys.addaudithook(lambda event, args: event.startswith("socket.") and print("socket", event))
import openpipe_report
assert threading.active_count() == 1, threading.enumerate()
ours = [key for key in read if isinstance(key, str) and key.startswith("OPENPIPE")]
assert ours == [], ours
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def run_script(script):
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_httpx_is_not_imported_beside_calls():
    """A call never meets an httpx that another thread is just importing (openai 3 looks at it)."""
    run_script("""
import sys
from openpipe_report import OpenAI, Reporter, instrument, span
assert hasattr(sys.modules["httpx"], "Timeout")
before = {name.partition(".")[0] for name in sys.modules}
reporter = Reporter(base_url="http://127.0.0.1:9")
with span("work", reporter=reporter):
    pass
reporter.flush(1)
assert not {"httpx", "httpx2", "openai", "anyio"} & (
    {name.partition(".")[0] for name in sys.modules} - before
)
""")


@pytest.mark.parametrize("name", ["OpenAI", "AzureOpenAI", "RateLimitError", "chat", "instrument"])
def test_openai_names_import_httpx(name):
    """Whatever leads to a client brings httpx, as `import openpipe_report` alone does not."""
    run_script(f"""
import sys
import openpipe_report
assert not {{"httpx", "openai", "pydantic"}} & sys.modules.keys()
openpipe_report.{name}
assert hasattr(sys.modules["httpx"], "Timeout")
""")


@pytest.mark.parametrize(
    "use",
    [
        "openpipe_report.flush(0)",
        "openpipe_report.shutdown(0)",
        "openpipe_report.metadata(a=1).__enter__()",
        "openpipe_report.span('work').__enter__()",
        "openpipe_report.__version__",
        "hasattr(openpipe_report, '__wrapped__')",
        "import openpipe_report.testing",
        "from openpipe_report import cli; assert cli.main",
    ],
)
def test_what_needs_no_openai(use):
    """openai is imported by the names that need it, not by these."""
    run_script(f"import sys, openpipe_report; {use}; assert 'openai' not in sys.modules")


def test_our_modules_are_no_names_of_openai():
    """`from openpipe_report import cli` is our module, also where openai has that name."""
    run_script("""
import openai
openai.cli = "openai's"
from openpipe_report import cli
assert cli.__name__ == "openpipe_report.cli"
""")


def test_first_use_in_many_threads():
    """Threads that use a name at the same time for the first time get the same object."""
    run_script("""
import threading
import openpipe_report
names = ["OpenAI", "AzureOpenAI", "BedrockOpenAI", "Report", "flush", "span", "chat"]
found, start = [], threading.Barrier(20)
def use():
    start.wait()
    for name in names:
        found.append((name, id(getattr(openpipe_report, name, None))))
threads = [threading.Thread(target=use) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 20 * len(names)
assert len(set(found)) == len(names), set(found)
""")


def test_setting_before_first_use():
    """A module-level setting that is set before anything else is openai's."""
    run_script("""
import openpipe_report
openpipe_report.api_key = "sk-first"
import openai
assert openai.api_key == openpipe_report.api_key == "sk-first"
""")


def test_star_import():
    """A star-import gives all public names, ours for openai's clients."""
    names: dict[str, object] = {}
    exec("from openpipe_report import *", names)
    assert {*openpipe_report.__all__} <= names.keys()
    assert names["OpenAI"] is openpipe_report.OpenAI
    assert openpipe_report.__all__ == sorted(openpipe_report.__all__)
    assert {*openpipe_report.__all__} <= {*dir(openpipe_report)}


def test_pickled_in_another_process():
    """What another process unpickles finds its class at that name's first use."""
    for value in (openpipe_report.AzureOpenAI, openpipe_report.Report(tags={"a": "b"})):
        run_script(f"import pickle; pickle.loads({pickle.dumps(value)!r})")
    assert pickle.loads(pickle.dumps(openpipe_report.OpenAI)) is openpipe_report.OpenAI


def test_type_checkers_see_the_same_names():
    """The names that are imported at first use are those that type checkers are shown."""
    tree = ast.parse(Path(openpipe_report.__file__).read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            assert [alias.name for alias in node.names] == ["types"]  # openai's
        elif isinstance(node, ast.ImportFrom) and not node.module.endswith("_signatures"):
            package = node.module.removeprefix("openpipe_report")
            shown |= {alias.asname: package for alias in node.names}
        elif isinstance(node, ast.Assign):
            shown[node.targets[0].id] = f"._delivery.registry:{node.value.attr}"
    del shown["_registry"]
    of_signatures = {
        name for name, source in openpipe_report._SOURCES.items() if "module" in source
    }
    assert shown == {
        name: source
        for name, source in openpipe_report._SOURCES.items()
        if name not in of_signatures
    }


def test_version():
    """The package's version is the distribution's."""
    assert importlib.metadata.version("openpipe-report") == openpipe_report.__version__


def test_signatures_for_type_checkers():
    """The stubs are what the newest openai gives; made by scripts/make_signatures."""
    newest = (3, 54)
    found = tuple(int(part) for part in openai.__version__.split(".")[:2])
    if found < newest:
        pytest.skip("the stub is of the newest openai")
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, root / "scripts" / "make_signatures.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["NotFoundError", "chat", "api_key"])
def test_patching_our_module(name):
    """`mock.patch` on our module leaves openai as it was."""
    before = getattr(openai, name)
    with mock.patch(f"openpipe_report.{name}", "patched"):
        assert getattr(openpipe_report, name) == "patched"
    assert getattr(openai, name) is before
    assert getattr(openpipe_report, name) is not None or before is None
