"""Faults: processes that are killed while a spool holds their reports."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from environment import FaultyProxy, Result, compare_numbers, held, until

if TYPE_CHECKING:
    from collections import Counter

    from environment import Environment, User

SAFE_AFTER = 0.05
"""A call that ended this many seconds before the kill is expected to be safe."""
WRONG_AFTER = 2.0
"""A call that ended this many seconds before the kill is lost by a bug, not a slow machine."""

WORKLOADS: list[tuple[str, dict[str, Any]]] = [
    ("5 KB", {"size": 5_000, "pause": 0.0}),
    ("1 MB", {"size": 1_000_000, "pause": 0.02}),
    ("5 KB, next to a computing thread", {"size": 5_000, "pause": 0.0, "busy": True}),
]


def kill(user: User, how: str) -> float:
    """Kill a process; return the time of the kill."""
    at = time.monotonic()
    if how == "os._exit":
        user.go_on()
    else:
        user.process.send_signal(getattr(signal, how))
    return at


def arrived(environment: Environment, numbers: set[int], patience: float) -> Counter[int]:
    """Wait until all of these are stored, or no more come; return how often each is."""
    found, since = environment.receiver.numbers(), time.monotonic()
    while numbers - set(found) and time.monotonic() - since < patience:
        time.sleep(0.02)
        before, found = found, environment.receiver.numbers()
        if found != before:
            since = time.monotonic()
    return found


def killed(environment: Environment) -> list[Result]:
    """A process is killed while it makes calls; the next one opens its spool."""
    environment.receiver.start()
    kills = [Kills(how, *load) for how in ("SIGTERM", "SIGKILL", "os._exit") for load in WORKLOADS]
    numbers = 0
    for one in kills:
        for calls in (30, 60):
            numbers = one.once(environment, calls, numbers)
    return [one.row() for one in kills]


class Kills:
    """The calls of processes that were killed in the same way, and how many of them were lost."""

    def __init__(self, how: str, load: str, options: dict[str, Any]) -> None:
        self.how, self.load, self.options = how, load, options
        self.times = self.made = 0
        self.lost: list[float] = []
        """For each lost call: the seconds between its end and the kill."""
        self.wrong: list[str] = []

    def once(self, environment: Environment, calls: int, first: int) -> int:
        """Kill a process after some calls, numbered from `first`; return the next free number."""
        spool = {"spool": str(environment.folder / "killed.spool")}
        user = environment.user("endless", first=first, reporter=spool, **self.options)
        lines = [user.line() for _ in range(calls)]
        at = kill(user, self.how)
        rest, _ = user.end()
        lines += [json.loads(text) for text in rest if text.endswith("}")]
        ended = {line["n"]: line["at"] for line in lines}
        after = max(ended) + 2  # one more may have been under way
        user = environment.user("next_one", first=after, reporter=spool)
        safe = {number for number in ended if at - ended[number] > SAFE_AFTER}
        arrived(environment, {*safe, after}, patience=20.0)
        arrived(environment, set(ended), patience=0.5)
        user.go_on()
        user.end()
        found = environment.receiver.numbers()
        self.times += 1
        self.made += len(ended)
        self.lost += [at - ended[number] for number in ended if number not in found]
        twice = [number for number, times in found.items() if times > 1]
        if twice or after not in found:
            self.wrong.append(
                f"stored twice: {twice}; call of the next process stored: {after in found}"
            )
        return after + 1

    def row(self) -> Result:
        oldest = max(self.lost, default=0.0)
        if oldest > WRONG_AFTER:
            self.wrong.append(f"a call that ended {oldest:.1f} s before the kill is lost")
        return Result(
            f"{self.how} with `spool=`, reports of {self.load}",
            "every call that ended 50 ms before the kill is delivered once, by the next process",
            f"{self.made} calls in {self.times} kills: {len(self.lost)} lost, which had ended at "
            f"most {max(oldest, 0.0) * 1000:.1f} ms before the kill ({held(oldest < SAFE_AFTER)}); "
            "none twice",
            self.wrong,
        )


def shared(environment: Environment, *, calls: int = 200) -> Result:
    """Two processes share a spool, and one is killed with all its reports in it."""
    environment.receiver.start()
    with FaultyProxy(environment.receiver) as proxy:
        proxy.answer = lambda _: (503, b"", {})
        to = {"base_url": proxy.base_url, "spool": str(environment.folder / "shared.spool")}
        dying = environment.user("leave", how="return", calls=calls, reporter=to)
        dying.line()
        living = environment.user("next_one", first=calls, reporter=to)
        until(
            lambda: any(
                post.report["reqPayload"]["metadata"]["n"] == calls for post in list(proxy.posts)
            ),
            "the call of the second process",
        )
        time.sleep(WRONG_AFTER)
        at = kill(dying, "SIGKILL")
        dying.end()
        proxy.answer = proxy.forward
        found = arrived(environment, {*range(calls + 1)}, patience=20.0)
        taken = time.monotonic() - at
        living.go_on()
        living.end()
    count, wrong = compare_numbers(found, calls + 1)
    return Result(
        "two processes share one spool, and one is killed",
        "the other process delivers its reports",
        f"{count - 1} of {calls} delivered by the other process, the last {taken:.1f} s after "
        "the kill",
        wrong,
    )
