"""
Run openai's own test suite against our classes: a test that passes with openai's must pass.

The sdist of each openai release contains its tests. They run bare and with our classes in place of
openai's (see `dropin_swap.py`), and the two runs are compared test by test. A test counts only if
it passes in every bare run: tests that need a mock API server, a file that the sdist lacks or luck
do not. Downloads and the output of each run are kept under `.venvs/dropin`.

    python scripts/dropin.py                   # the newest openai, the files about clients
    python scripts/dropin.py --all             # every version, every test
    python scripts/dropin.py --openai 2.54.0   # one version, every test
    python scripts/dropin.py --openai 2.54.0 tests/lib/test_azure.py -- -k stream
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from environments import ROOT, prepare

WORK = ROOT / ".venvs" / "dropin"
PLUGINS = ["dropin_outcomes", "dropin_swap"]

VERSIONS = ["1.66.0", "1.109.1", "2.54.0", "3.0.0", "newest"]
NEWEST = "openai<4"

# tests/api_resources is left out: all but a few of its tests need a mock API server.
EVERYTHING = ["tests", "--ignore=tests/api_resources"]
QUICK = [
    "tests/test_client.py",
    "tests/test_streaming.py",
    "tests/test_response.py",
    "tests/test_legacy_response.py",
    "tests/lib/chat",
    "tests/lib/responses",
    "tests/lib/test_azure*.py",
]

EXTRAS = "aiohttp,bedrock,realtime,vertex"
"""Extras of openai with which more of its tests run; pip warns if a version lacks one."""

TEST_TOOLS = [
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "azure-identity",
    "botocore",
    "dirty-equals",
    "griffe",
    "importlib-metadata",
    "inline-snapshot",
    "jsonschema",
    "nest_asyncio",
    "numpy",
    "pillow",
    "respx",
    "rich",
    "time-machine",
    "trio",
]
"""Packages that the tests of some version import."""

OLDER_TOOLS = {"1.66.0": ["pytest<9", "pytest-asyncio<0.25", "inline-snapshot<0.11"]}
"""Older tools for versions whose tests fail with newer ones."""

UNFAIR: dict[str, str] = {}
"""Tests that no drop-in can pass: the reason by node id."""

SECONDS_PER_TEST = 120
RETRIES = 4


def say(text: str = "", *, end: str = "\n") -> None:
    """Print and flush."""
    print(text, end=end, flush=True)  # noqa: T201 - a script


@dataclass
class Suite:
    """The tests of one openai release and the environment that they run in."""

    version: str
    source: Path
    python: Path

    @property
    def folder(self) -> Path:
        """The folder of its runs and their output."""
        return self.python.parent.parent


@dataclass
class Run:
    """One run of a suite."""

    outcomes: dict[str, str]
    failures: dict[str, str]
    seconds: float
    captured: int = 0
    lost: int = 0
    faults: int = 0

    def passed(self, test: str) -> bool:
        """Whether a test passed."""
        return self.outcomes.get(test) == "passed"


@dataclass
class Verdict:
    """The comparison of the runs of one version."""

    version: str
    counted: int
    captured: int
    lost: int
    faults: int
    seconds: float
    broken: dict[str, str]
    unsteady: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    unfair: list[str] = field(default_factory=list)
    not_passing: int = 0

    @property
    def holds(self) -> bool:
        """Whether no test is broken, no internal error came, and calls were captured."""
        return not self.broken and self.counted > 0 and self.captured > 0 and not self.faults

    def row(self) -> list[str]:
        """Return the cells of this version in the summary."""
        figures = (
            self.counted,
            self.captured,
            len(self.broken),
            len(self.unsteady),
            len(self.flaky),
            self.not_passing,
            len(self.unfair),
            self.faults + self.lost,
        )
        return [self.version, *map(str, figures), f"{self.seconds:.0f} s"]


HEADINGS = [
    "openai",
    "counted",
    "captured",
    "broken",
    "unsteady",
    "flaky",
    "not passing bare",
    "excluded",
    "faults",
    "time",
]

LEGEND = """\
- counted: tests that pass in every bare run; they are compared with the run with our classes.
- captured: calls that our classes reported in that run; each report was built, but not sent.
- broken: counted tests that fail with our classes.
- unsteady: tests that failed once with our classes and then passed in every further run.
- flaky: tests that passed in one bare run and failed in another; not counted.
- not passing bare: tests that are skipped or fail without our classes as well, for lack of a mock
  API server or of a file in the sdist; not counted. tests/api_resources needs such a server for
  nearly all its tests and is not run.
- faults: internal errors of our classes, and calls whose report could not be built."""


def fetch(version: str) -> tuple[str, Path]:
    """Download and unpack a release with its tests; return its version and its folder."""
    sdists = WORK / "sdists"
    archive = sdists / f"openai-{version}.tar.gz"
    if not archive.exists():
        requirement = NEWEST if version == "newest" else f"openai=={version}"
        fresh = WORK / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        download = ["pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
        what = ["--no-binary", "openai", "--dest", str(fresh), requirement]
        subprocess.run([sys.executable, "-m", *download, *what], check=True)  # noqa: S603
        (found,) = fresh.glob("openai-*.tar.gz")
        sdists.mkdir(parents=True, exist_ok=True)
        archive = found.replace(sdists / found.name)
    name = archive.name.removesuffix(".tar.gz")
    source = WORK / "sources" / name
    if not source.exists():
        fresh = WORK / "fresh"
        with tarfile.open(archive) as opened:
            opened.extractall(fresh, filter="data")
        source.parent.mkdir(exist_ok=True)
        (fresh / name).replace(source)
    return name.removeprefix("openai-"), source


def prepare_suite(version: str) -> Suite:
    """Make the environment of a release, unless it exists."""
    version, source = fetch(version)
    name = f"openai-{version}"
    wanted = [f"openai[{EXTRAS}]=={version}", *TEST_TOOLS, *OLDER_TOOLS.get(version, [])]
    wanted += ["httpx", "tenacity"]  # our own
    say(f"    installing openai {version} and the packages of its tests, unless it was done before")
    suite = Suite(version, source, prepare(f"{WORK.name}/{name}", wanted))
    # A copy of the working tree, so that edits during a run do not change it.
    ours = WORK / name / "ours"
    shutil.rmtree(ours, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "openpipe_report", ours / "openpipe_report", ignore=ignored)
    for plugin in PLUGINS:
        shutil.copy(Path(__file__).with_name(f"{plugin}.py"), ours)
    return suite


def run(suite: Suite, name: str, tests: list[str], *, swapped: bool, workers: int) -> Run:
    """Run tests of a suite, bare or swapped, and read the outcomes that the plugin wrote."""
    out = suite.folder / "runs" / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [str(suite.python), "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts="]
    for plugin in PLUGINS[: 2 if swapped else 1]:
        command += ["-p", plugin]
    command += ["-q", "--tb=short", "-n", str(workers), *tests]
    command += [f"--timeout={SECONDS_PER_TEST}", "--max-worker-restart=20"]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
        "HOME": str(out),  # no credentials of the user
        "DROPIN_OUT": str(out),
        "PYTHONPATH": str(suite.folder / "ours"),
        "PYTHONHASHSEED": "0",
        "NO_PROXY": "*",
    }
    started = time.monotonic()
    with (
        (out / "output.txt").open("w", encoding="utf-8") as log,
        subprocess.Popen(  # noqa: S603
            command,
            cwd=suite.source,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            progress = re.search(r"\[ *(\d+)%\]$", line.rstrip())
            if progress and sys.stdout.isatty():
                say(f"\r    {name}: {progress[1]} %  ", end="")
    seconds = time.monotonic() - started
    try:
        found = json.loads((out / "outcomes.json").read_text("utf-8"))
    except FileNotFoundError:
        sys.exit(f"{name}: pytest did not finish; see {out / 'output.txt'}")
    counts = [json.loads(path.read_text("utf-8")) for path in out.glob("counts-*.json")]
    done = Run(
        found["outcomes"],
        found["failures"],
        seconds,
        **{
            key: sum(count.get(key, 0) for count in counts)
            for key in ("captured", "lost", "faults")
        },
    )
    if not done.outcomes:
        sys.exit(f"{name}: no test was run; see {out / 'output.txt'}")
    totals = [list(done.outcomes.values()).count(kind) for kind in ("passed", "failed", "skipped")]
    summary = "{} passed, {} failed, {} skipped".format(*totals)
    captured = f", {done.captured} calls captured" if swapped else ""
    lead = "\r" if sys.stdout.isatty() else ""
    say(f"{lead}    {name}: {summary}{captured} in {seconds:.0f} s")
    return done


def verify(version: str, tests: list[str] | None, workers: int, *, quick: bool) -> Verdict:
    """Run a version's tests bare and swapped, and compare."""
    say(f"==> openai {version}{', the files about clients' if quick else ''}")
    suite = prepare_suite(version)
    if suite.version != version:
        say(f"    the newest is {suite.version}")
    if tests is None:
        tests = _existing(suite, QUICK) if quick else EVERYTHING
    started = time.monotonic()
    bare = [run(suite, "bare", tests, swapped=False, workers=workers)]
    if not quick:
        bare.append(run(suite, "bare again", tests, swapped=False, workers=workers))
    swapped = run(suite, "swapped", tests, swapped=True, workers=workers)

    def differing() -> list[str]:
        return [
            test
            for test in bare[0].outcomes
            if all(r.passed(test) for r in bare) and not swapped.passed(test)
        ]

    doubtful = [test for test in differing() if test not in UNFAIR]
    again: list[Run] = []
    for attempt in range(1, RETRIES + 1 if doubtful else 1):
        bare_again = run(
            suite, f"bare, doubtful {attempt}", doubtful, swapped=False, workers=workers
        )
        bare.append(_filled(bare_again, bare[0]))
        name = f"swapped, doubtful {attempt}"
        again.append(run(suite, name, doubtful, swapped=True, workers=workers))
    broken, unsteady = {}, []
    for test in differing():
        if test in UNFAIR:
            continue
        if all(r.passed(test) for r in again):
            unsteady.append(test)
        else:
            broken[test] = swapped.failures.get(test, "It did not run.")
    counted = [t for t in bare[0].outcomes if t not in UNFAIR and all(r.passed(t) for r in bare)]
    flaky = [
        t
        for t in {t for r in bare for t in r.outcomes}
        if len({r.outcomes.get(t) for r in bare}) > 1
    ]
    return Verdict(
        version=suite.version,
        counted=len(counted),
        captured=swapped.captured,
        lost=swapped.lost,
        faults=swapped.faults,
        seconds=time.monotonic() - started,
        broken=broken,
        unsteady=unsteady,
        flaky=sorted(flaky),
        unfair=[test for test in bare[0].outcomes if test in UNFAIR],
        not_passing=len(bare[0].outcomes) - len(counted) - len(flaky),
    )


def _existing(suite: Suite, patterns: list[str]) -> list[str]:
    found = [sorted(suite.source.glob(pattern)) for pattern in patterns]
    return [str(path.relative_to(suite.source)) for paths in found for path in paths]


def _filled(part: Run, whole: Run) -> Run:
    """Complete a run of some tests with the outcomes of a run of all tests."""
    return Run({**whole.outcomes, **part.outcomes}, part.failures, part.seconds)


def describe(verdicts: list[Verdict]) -> str:
    """Return the summary as Markdown."""
    rows = [HEADINGS, *(verdict.row() for verdict in verdicts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [_line(HEADINGS, widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(row, widths) for row in rows[1:]]
    lines += ["", *LEGEND.splitlines()]
    for verdict in verdicts:
        for heading, named in (("unsteady", verdict.unsteady), ("flaky", verdict.flaky)):
            if named:
                lines += ["", f"openai {verdict.version}, {heading}:", ""]
                lines += [f"- `{test}`" for test in named]
        if verdict.unfair:
            lines += ["", f"openai {verdict.version}, excluded:", ""]
            lines += [f"- `{test}`: {UNFAIR[test]}" for test in verdict.unfair]
        for test, why in verdict.broken.items():
            lines += ["", f"openai {verdict.version}, broken: `{test}`", "", "```", why, "```"]
    return "\n".join(lines) + "\n"


def _line(cells: list[str], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def main() -> int:
    """Verify the versions that the arguments name; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every version, every test")
    parser.add_argument("--openai", action="append", help="this version, every test")
    parser.add_argument("--report", type=Path, help="write the summary here, as Markdown")
    parser.add_argument("--workers", type=int, default=2, help="processes that run tests")
    parser.add_argument("tests", nargs="*", help="arguments for pytest instead")
    given = parser.parse_args()
    # A background job ignores SIGINT, and so would its children; openai's tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    versions = given.openai or (VERSIONS if given.all else ["newest"])
    quick = not (given.all or given.openai)
    verdicts = [
        verify(version, given.tests or None, given.workers, quick=quick) for version in versions
    ]
    summary = describe(verdicts)
    say(f"\n{summary}")
    if given.report:
        given.report.write_text(f"# openai's own tests, with our classes\n\n{summary}", "utf-8")
    return 0 if all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
