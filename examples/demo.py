"""
From calls to stored reports, on this machine: `make demo`.

Starts the receiver and, unless OPENAI_API_KEY is set, a small real model. Makes the calls of
quickstart.py, searches for some by their text, judges an answer, lists the stored reports, and
compares each of them with the result of its call. Exits with 1 if a report is missing or wrong, and
names the call. On a terminal the receiver then runs on, so that its pages can be looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from local_model import MODEL, LocalModelError, local_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Report = dict[str, Any]
COMMAND = [sys.executable, "-m", "openpipe_report"]
COMMAND_LINE = Path(sys.executable).parent / "openpipe-report"
START_TIMEOUT = 30.0
SEARCHES = {"capital france": 1, "city country": 5}
"""Words of prompts, and how many reports of quickstart.py have them all at least."""
SEARCH_TIMEOUT = 10.0


class DemoError(Exception):
    """The demo cannot run; the message says why."""


class WrongReportError(Exception):
    """A report is missing, or differs from the result of its call."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the demo and check the stored reports.")
    parser.add_argument(
        "--db", type=Path, help="keep the reports in this SQLite file, which is overwritten"
    )
    given = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            db = given.db or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo.db"
            wrong = run(db)
            if given.db:
                print(f"\nThe reports are kept:  {COMMAND_LINE} serve --db {db}")
    except (DemoError, LocalModelError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    sys.exit(1 if wrong else 0)


def run(db: Path) -> int:
    """Make the calls, show and check the reports; return how many checks failed."""
    began = time.monotonic()
    set_environment()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{db}{suffix}").unlink(missing_ok=True)
    with receiver(db) as base_url:
        os.environ["OPENPIPE_BASE_URL"] = base_url
        with model():
            got = make_calls()
        print("\nReports found by their text:\n")
        wrong = search(base_url)
        wrong += judge(base_url, got["plain"])
        print("\nThe stored reports:\n", flush=True)
        subprocess.run([*COMMAND, "logs", "--limit", "0", "--db", str(db)], check=True)  # noqa: S603
        print("\nEach report compared with the result of its call:\n")
        wrong += check_all(read_reports(db), got)
        print(f"{'FAILED' if wrong else 'All is well'} after {time.monotonic() - began:.1f} s")
        print(f"\nLook at one:       {COMMAND_LINE} show 1 --db {db}")
        print(f"Look at them all:  {base_url.removesuffix('api/v1')}", flush=True)
        if not wrong and is_watched():
            wait_for_interrupt()
    return wrong


@contextlib.contextmanager
def model() -> Iterator[None]:
    """Run a model on this machine while the block runs, unless the user has an API key."""
    if os.environ.get("OPENAI_API_KEY"):
        print(f"calling {os.environ.get('OPENAI_BASE_URL') or 'OpenAI'}")
        yield
        return
    with local_model() as base_url:
        os.environ["OPENAI_BASE_URL"] = base_url
        os.environ["OPENAI_API_KEY"] = "none-needed"
        os.environ["QUICKSTART_MODEL"] = os.environ["QUICKSTART_COMPLETION_MODEL"] = MODEL
        yield


def is_watched() -> bool:
    """Whether somebody sits at a terminal, who can end the demo."""
    return not os.environ.get("CI") and sys.stdin.isatty() and sys.stdout.isatty()


def wait_for_interrupt() -> None:
    print("\nThe receiver runs until you press Ctrl-C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    print()


def set_environment() -> None:
    """Remove the user's settings of openpipe_report, and exclude loopback from proxies."""
    for name in [name for name in os.environ if name.startswith("OPENPIPE_")]:
        del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def make_calls() -> dict[str, Any]:
    import quickstart  # noqa: PLC0415 (once the environment is set)

    from openpipe_report import OpenAIError  # noqa: PLC0415

    try:
        return quickstart.main()
    except OpenAIError as error:
        raise DemoError(f"a call failed: {error}") from error


@contextlib.contextmanager
def receiver(db: Path) -> Iterator[str]:
    """Run `openpipe-report serve` on a free port; yield its base URL."""
    command = [*COMMAND, "serve", "--port", "0", "--db", str(db)]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        with server:
            try:
                yield wait_for_url(server, log)
            finally:
                server.terminate()


def wait_for_url(server: subprocess.Popen[str], log: IO[str]) -> str:
    assert server.stdout is not None
    print("starting the receiver ...", end="", flush=True)
    timer = threading.Timer(START_TIMEOUT, server.kill)
    timer.start()
    try:
        line = server.stdout.readline()
    finally:
        timer.cancel()
    start, _, url = line.strip().rpartition(" ")
    if start != "Listening on":
        log.seek(0)
        raise DemoError(f"the receiver did not start: {line}{log.read()}")
    print(f" listening on {url}")
    return url


def search(base_url: str) -> int:
    """Search for reports by their text; return how many searches found too few."""
    wrong = 0
    for words, expected in SEARCHES.items():
        deadline = time.monotonic() + SEARCH_TIMEOUT
        found = find(base_url, words)
        while len(found) < expected and time.monotonic() < deadline:
            time.sleep(0.1)  # the index follows within a second
            found = find(base_url, words)
        is_wrong = len(found) < expected
        wrong += is_wrong
        ids = ", ".join(str(row["id"]) for row in found)
        print(f"  {'WRONG ' if is_wrong else 'ok    '} {words!r}: report {ids or 'none'}")
    return wrong


def find(base_url: str, words: str) -> list[dict[str, Any]]:
    import httpx  # noqa: PLC0415 (once the environment is set)

    answer = httpx.get(f"{base_url}/reports", params={"text": words})
    return answer.raise_for_status().json()["data"]


def judge(base_url: str, completion: Any) -> int:
    """Judge an answer as a program does that knows better; return 1 if its report has no label."""
    import httpx  # noqa: PLC0415 (once the environment is set)

    verdict = "up" if "Paris" in completion.choices[0].message.content else "down"
    change = {
        "filters": [{"field": "completionId", "equals": completion.id}],
        "metadata": {"feedback": verdict, "judged_by": "demo.py"},
    }
    answer = httpx.post(f"{base_url}/logs/update-metadata", json=change)
    matched = answer.raise_for_status().json()["matchedLogs"]
    print(f"  {'ok    ' if matched == 1 else 'WRONG '} feedback on {completion.id}: {verdict}")
    return int(matched != 1)


def read_reports(db: Path) -> list[Report]:
    from openpipe_report.server.store import Store  # noqa: PLC0415 (slow to import)

    with Store(db, read_only=True) as store:
        return list(store.reports())


def check_all(reports: list[Report], got: dict[str, Any]) -> int:
    wrong = 0
    for name, result in got.items():
        mine = [report for report in reports if labels(report).get("demo") == name]
        try:
            CHECKS[name](mine, result)
            print(f"  ok     {name} ({len(mine)} report{'s' if len(mine) > 1 else ''})")
        except WrongReportError as error:
            wrong += 1
            print(f"  WRONG  {name}: {error}")
    strays = [report for report in reports if labels(report).get("demo") not in got]
    if strays:
        wrong += 1
        print(f"  WRONG  {len(strays)} stored reports belong to none of the calls")
    return wrong


def check_plain(reports: list[Report], result: Any) -> None:
    compare_success(only(reports, 1)[0], result.to_dict())


def check_streamed(reports: list[Report], result: Any) -> None:
    report = only(reports, 1)[0]
    compare_success(report)
    choice = report["respPayload"]["choices"][0]
    same("object", report["respPayload"]["object"], "chat.completion")
    same("text", choice["message"]["content"], result["text"])
    same("finish_reason", choice["finish_reason"], result["finish_reason"])
    same("usage", report["respPayload"]["usage"], result["usage"].to_dict())


def check_parsed(reports: list[Report], result: Any) -> None:
    report = only(reports, 1)[0]
    compare_success(report)
    message = result.choices[0].message
    stored = report["respPayload"]["choices"][0]["message"]["content"]
    same("id", report["respPayload"]["id"], result.id)
    same("content", stored, message.content)
    same("object", type(message.parsed).model_validate_json(stored), message.parsed)
    same("usage", report["respPayload"]["usage"], result.usage.to_dict())
    same("response_format", report["reqPayload"]["response_format"]["type"], "json_schema")


def check_fan_out(reports: list[Report], results: Any) -> None:
    by_id = {report["respPayload"]["id"]: report for report in only(reports, len(results))}
    same("ids", set(by_id), {result.id for result in results})
    for result in results:
        compare_success(by_id[result.id], result.to_dict())
    same("cities", len({labels(report)["city"] for report in reports}), len(results))


def check_failing(reports: list[Report], error: Any) -> None:
    report = only(reports, 1)[0]
    if error is None:
        raise WrongReportError("the call did not fail with a 400")
    same("statusCode", report.get("statusCode"), error.status_code)
    same("errorMessage", report.get("errorMessage"), error.body["message"])
    same("respPayload", report.get("respPayload"), error.response.json())


def check_spanned(reports: list[Report], result: Any) -> None:
    only(reports, 3)
    calls = {call.id: call for call in result["calls"]}
    inside = [report for report in reports if "model" in report["reqPayload"]]
    same("calls inside", {report["respPayload"]["id"] for report in inside}, set(calls))
    for report in inside:
        compare_success(report, calls[report["respPayload"]["id"]].to_dict())
    work = only([report for report in reports if report not in inside], 1)[0]
    same("respPayload of the span", work["respPayload"], result["response"])
    same("traces", len({tags(report).get("$trace_id") for report in reports}), 1)
    span_id = tags(work).get("$span_id")
    if not span_id:
        raise WrongReportError("the span's report has no $span_id")
    same("parents", {tags(report).get("$parent_span_id") for report in inside}, {span_id})


CHECKS: dict[str, Callable[[list[Report], Any], None]] = {
    "plain": check_plain,
    "streamed": check_streamed,
    "parsed": check_parsed,
    "responses": check_plain,
    "completed": check_plain,
    "fan-out": check_fan_out,
    "failing": check_failing,
    "spanned": check_spanned,
}


def labels(report: Report) -> dict[str, Any]:
    request = report.get("reqPayload")
    found = request.get("metadata") if isinstance(request, dict) else None
    return found if isinstance(found, dict) else {}


def tags(report: Report) -> dict[str, Any]:
    found = report.get("tags")
    return found if isinstance(found, dict) else {}


def only(reports: list[Report], count: int) -> list[Report]:
    if len(reports) != count:
        raise WrongReportError(f"{len(reports)} reports are stored instead of {count}")
    return reports


def compare_success(report: Report, answer: dict[str, Any] | None = None) -> None:
    same("statusCode", report.get("statusCode"), 200)
    same("errorMessage", report.get("errorMessage"), None)
    if report["requestedAt"] > report["receivedAt"]:
        raise WrongReportError("receivedAt is before requestedAt")
    if answer is not None:
        same("respPayload", report.get("respPayload"), answer)


def same(what: str, stored: object, received: object) -> None:
    if stored != received:
        raise WrongReportError(f"{what} is {stored!r} in the report and {received!r} in the result")


if __name__ == "__main__":
    main()
