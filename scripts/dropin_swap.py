"""
A pytest plugin for `dropin.py`: replaces openai's clients by ours before its tests are imported.

The tests get our class from any module of which they import a client class, and the module-level
resources (`openai.chat`, ...) of `import openpipe_report as openai`. The names inside openai's own
submodules are not replaced, so that openai's code meets our class as it does in a user's process,
for instance in a check of `BedrockOpenAI` in `openai.lib.bedrock`. Each process writes its counts
of captured calls and internal errors, and our log, into the folder DROPIN_OUT.
"""

from __future__ import annotations

import builtins
import json
import logging
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import openai

import openpipe_report
from openpipe_report._delivery.reporter import Reporter, capture_stack
from openpipe_report._log import internal_error_count
from openpipe_report._report.encode import encode_report
from openpipe_report._settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

OUT = Path(os.environ["DROPIN_OUT"])

counts: Counter[str] = Counter()


class CountingReporter(Reporter):
    """Builds each report when it is submitted, counts it and does not send it."""

    def submit(self, source: Any, reservation: Any = None) -> None:  # noqa: ARG002 - the base's
        """Build a report; count it as captured, or as lost if it cannot be built."""
        body = encode_report(source, self.settings)
        if body:
            counts["captured" if isinstance(body, bytes) else "lost"] += 1


class StandIn:
    """A module of openai's with our client classes, all its other names unchanged."""

    def __init__(self, module: ModuleType, ours: dict[int, Any]) -> None:
        self._module = module
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return self._ours.get(id(value), value)


def find_ours() -> tuple[dict[str, Any], dict[int, Any]]:
    """Return our counterparts of openai's exports, by name and by the id of openai's object."""
    clients = (openai.OpenAI, openai.AsyncOpenAI)
    by_name: dict[str, Any] = {}
    by_id: dict[int, Any] = {}
    for name in dir(openai):
        value = getattr(openai, name)
        if type(value).__module__ == "openai._module_client":  # its `__class__` would load it
            by_name[name] = getattr(openpipe_report, name)
        elif isinstance(value, type) and issubclass(value, clients) and name[0] != "_":
            by_name[name] = by_id[id(value)] = getattr(openpipe_report, name)
    return by_name, by_id


def swap() -> None:
    """Replace openai's clients and module-level resources by ours, for the tests only."""
    by_name, by_id = find_ours()
    for name, value in by_name.items():
        setattr(openai, name, value)
    original = builtins.__import__

    def import_for_tests(
        name: str,
        globals: Any = None,  # noqa: A002 - __import__'s own name
        locals: Any = None,  # noqa: A002 - __import__'s own name
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = original(name, globals, locals, fromlist, level)
        importer = (globals or {}).get("__name__", "").partition(".")[0]
        if importer in {"tests", "conftest"} and fromlist and name.startswith("openai."):
            return StandIn(module, by_id)
        return module

    builtins.__import__ = import_for_tests


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the counts."""
    reporter.sweep(at_exit=True)
    counts["faults"] = internal_error_count()
    worker = getattr(session.config, "workerinput", {}).get("workerid", "controller")
    (OUT / f"counts-{worker}.json").write_text(json.dumps(counts), "utf-8")


logging.getLogger("openpipe_report").addHandler(logging.FileHandler(OUT / "log.txt"))
reporter = CountingReporter.from_settings(Settings(base_url="http://dropin.invalid"))
capture_stack.append(SimpleNamespace(reporter_for=lambda _settings: reporter))
swap()
