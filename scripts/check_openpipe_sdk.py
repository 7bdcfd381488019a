"""
Run the tests that the openpipe SDK ships against the receiver.

The wheel of the SDK contains its own tests. They run on the installed package, in an environment of
their own under `.venvs`, with a scripted server in the place of OpenAI and Anthropic. They run
twice, as the variable ENVIRONMENT tells them: as `production`, where they look at the answers only,
and as `local`, where they also read back what the receiver has stored of each call.

It fails if a test fails that is not listed here with a reason, or if a listed one does not fail.

    python scripts/check_openpipe_sdk.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from environments import ROOT, prepare

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

sys.path += [str(ROOT / "tests"), str(ROOT / "scripts")]

from openpipe_upstream import answer
from support.scripted_openai import ScriptedOpenAI

PACKAGES = ["openpipe==5.0.0", "python-dotenv>=1.2", "pytest", "pytest-asyncio", "pytest-timeout"]
"""openpipe requires openai 1.97.1 or older; its tests require the others."""
TESTS = [
    "test_sync_client.py",
    "test_async_client.py",
    "reporting",
    "streaming",
    "update_logged_call_tags",
]
"""In the package's folder `test`. The others are about caches, criteria, datasets and models."""
KEY = "opk-test"
TIMEOUT = 240
"""Seconds for one run, which takes about 10."""

RUNS_NO_MODELS = "runs no models"
"""The receiver's answer to calls of hosted models, which must be why these tests fail."""
_CONTENT = "openpipe:llama-3-1-8b-content is a model that OpenPipe hosts"
_TOOLS = "openpipe:tool-calls-test is a model that OpenPipe hosts"
_CONTENT_35 = "openpipe:test-content-35 is a model that OpenPipe hosts"
_CONTENT_4O = "openpipe:test-content-4o-mini is a model that OpenPipe hosts"
HOSTED = {
    "test_sync_client.py::test_sync_content_llama": _CONTENT,
    "test_sync_client.py::test_sync_function_call_llama": _TOOLS,
    "test_sync_client.py::test_sync_tool_calls_llama": _TOOLS,
    "test_async_client.py::test_async_content_llama": _CONTENT,
    "test_async_client.py::test_async_function_call_llama": _TOOLS,
    "test_async_client.py::test_async_tool_calls_llama": _TOOLS,
    "test_async_client.py::test_async_default_base_url": _CONTENT_35,
    "streaming/test_sync_streaming.py::test_sync_streaming_content_ft_35": _CONTENT_35,
    "streaming/test_sync_streaming.py::test_sync_streaming_content_ft_35_base_sdk": _CONTENT_35,
    "streaming/test_async_streaming.py::test_async_streaming_content_ft_35": _CONTENT_35,
    "streaming/test_async_streaming.py::test_async_streaming_content_ft_35_base_sdk": _CONTENT_35,
    "streaming/test_async_streaming.py::test_async_streaming_content_openai_ft_model": _CONTENT_4O,
    "streaming/test_async_streaming.py::test_async_streaming_content_openpipe_ft_model": _CONTENT,
}
"""Why a test fails, by its place."""

_LOGGED_BY_OPENPIPE = "OpenPipe logs the calls of the models that it hosts"
_CONVERTED = "OpenPipe turns Anthropic's answers into OpenAI's; here they are stored as posted"
READ_BACK = {
    "test_sync_client.py::test_bad_openpipe_call": _LOGGED_BY_OPENPIPE,
    "test_async_client.py::test_async_bad_openpipe_call": _LOGGED_BY_OPENPIPE,
    "reporting/test_sync_reporting.py::test_sync_report_anthropic": _CONVERTED,
    "reporting/test_async_reporting.py::test_async_report_anthropic": _CONVERTED,
}
"""The same, of tests that fail only where they read back what is stored."""


@dataclass(frozen=True)
class Run:
    """One run of all tests."""

    outcomes: dict[str, str]
    """`passed`, `failed` or `skipped` by the test's place."""
    failures: dict[str, str]
    """The error of each test that failed."""
    is_complete: bool
    """Whether all tests were collected and run."""


def run_tests(interpreter: Path, kind: str, folder: Path) -> Run:
    """Run the tests as `production` or `local`, against a receiver with an empty database."""
    found = subprocess.run(  # noqa: S603
        [interpreter, "-c", "import openpipe; print(openpipe.__path__[0])"],
        check=True,
        capture_output=True,
        text=True,
    )
    tests = Path(found.stdout.strip(), "test")
    command = [interpreter, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tests, *TESTS]
    command += ["-p", "dropin_outcomes", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    command += ["--timeout=30", "--tb=no", "--no-summary"]
    suffix = "PROD" if kind == "production" else "LOCAL"
    with (
        ScriptedOpenAI(otherwise=answer) as upstream,
        Store(folder / "reports.db") as store,
        serving(create_app(store, api_key=KEY, local_testing=True)) as url,
    ):
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
            "PYTHONPATH": str(ROOT / "scripts"),
            "PYTHON_DOTENV_DISABLED": "1",  # a file .env in a folder above would win
            "DROPIN_OUT": str(folder),
            "ENVIRONMENT": kind,
            f"OPENPIPE_BASE_URL_{suffix}": url,
            f"OPENPIPE_API_KEY_{suffix}": KEY,
            "OPENPIPE_BASE_URL": url,
            "OPENPIPE_API_KEY": KEY,
            "OPENAI_BASE_URL": upstream.base_url,
            "OPENAI_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": upstream.root,
            "ANTHROPIC_API_KEY": "sk-test",
        }
        run = subprocess.run(  # noqa: S603
            command, cwd=tests, env=environment, timeout=TIMEOUT, check=False
        )
    written = json.loads((folder / "outcomes.json").read_text("utf-8"))
    # Beyond 1 pytest has not collected or run all tests.
    return Run(written["outcomes"], written["failures"], is_complete=run.returncode in {0, 1})


def find_surprises(run: Run, expected: dict[str, str]) -> list[str]:
    """Return one line for each test that has not ended as it should, with its error."""
    found = [] if run.is_complete else ["pytest could not run all tests"]
    for place, error in run.failures.items():
        if place not in expected:
            found.append(f"{place} failed: {error}")
        elif place in HOSTED and RUNS_NO_MODELS not in error:
            found.append(f"{place} failed, but not because {HOSTED[place]}: {error}")
    for place, reason in expected.items():
        if place not in run.failures:
            outcome = run.outcomes.get(place, "missing")
            found.append(f"{place} is {outcome}, but listed as failing: {reason}")
    return found


def main() -> int:
    """Run the tests twice; return 1 if a test has not ended as it should."""
    interpreter = prepare("openpipe-sdk", PACKAGES)
    surprises: list[str] = []
    for kind, expected in [("production", HOSTED), ("local", {**HOSTED, **READ_BACK})]:
        print(f"==> the openpipe SDK's own tests, ENVIRONMENT={kind}", flush=True)  # noqa: T201
        with TemporaryDirectory() as folder:
            run = run_tests(interpreter, kind, Path(folder))
        surprises += (f"{kind}: {one}" for one in find_surprises(run, expected))
        counts = Counter(run.outcomes.values())
        print(  # noqa: T201
            f"{counts['passed']} passed, {counts['skipped']} skipped by the SDK itself, "
            f"{counts['failed']} failed, {len(expected)} of them expected",
            flush=True,
        )
    for surprise in surprises:
        print(f"error: {surprise}", file=sys.stderr)  # noqa: T201
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
