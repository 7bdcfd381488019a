"""Faults: the server fails, or the network before it, while the user's process runs."""

from __future__ import annotations

import random
import statistics
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, ClassVar

from environment import (
    BUDGET,
    FaultyProxy,
    Result,
    compare_numbers,
    held,
    limit,
    logged_as_lost,
    until,
)

if TYPE_CHECKING:
    from environment import Environment
    from support.backend import Post

Answer = tuple[int, bytes, dict[str, str]]
TIMEOUT = 15.0
"""Seconds without an answer, more than a reporter waits for one."""


def outage(environment: Environment, *, calls: int = 5_000, seconds: float = 120.0) -> Result:
    """The receiver is down while calls are made, and then starts."""
    user = environment.user("steady", calls=calls, seconds=seconds)
    made = user.line()
    environment.receiver.start()
    begin = time.monotonic()
    until(lambda: environment.receiver.count() >= calls, "the outage's backlog")
    taken = time.monotonic() - begin
    user.line()
    _, errors = user.end()
    count, wrong = compare_numbers(environment.receiver.numbers(), calls)
    if made["delivered"] or logged_as_lost(errors):
        wrong.append(f"stats: {made}, stderr: {errors}")
    said = sum("has taken no report for" in line for line in errors)
    return Result(
        f"receiver down for {seconds:g} s while {calls:,} calls are made, memory only",
        "all are delivered within 30 s of its return, none twice; the log tells of it once",
        f"{count:,} delivered, the last {limit(taken, 30)} after its return; {len(errors)} line "
        f"on stderr ({held(said == len(errors) == 1)})",
        wrong,
    )


def receiver_killed(environment: Environment, *, kills: int = 20, calls: int = 4_000) -> Result:
    """The receiver is killed again and again while calls are made."""
    environment.receiver.start()
    user = environment.user("steady", calls=calls, seconds=kills * 1.5)
    for number in range(kills):
        goal = (number + 1) * calls // (kills * 2)  # the last kill is long before the last call
        until(lambda goal=goal: environment.receiver.count() >= goal, "reports before a kill")
        environment.receiver.kill()
        environment.receiver.start()
    user.line()
    user.line()
    _, errors = user.end()
    count, wrong = compare_numbers(environment.receiver.numbers(), calls)
    if lost := logged_as_lost(errors):
        wrong.append(f"{lost} logged as lost")
    return Result(
        f"`kill -9` of the receiver, {kills} times while {calls:,} calls are made",
        "every report is stored, none twice",
        f"{count:,} of {calls:,} stored, none twice",
        wrong,
    )


class Unreliable:
    """Fails three attempts in ten, half of them after the receiver has stored the report."""

    shares: ClassVar = {"5xx": 0.15, "reset": 0.145, "timeout": 0.005, "": 0.7}

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy
        self._random = random.Random(20)  # noqa: S311 - the same faults each time
        self._over = threading.Event()
        self.failed = dict.fromkeys(("5xx", "reset", "timeout"), 0)

    def __call__(self, post: Post) -> Answer | None:
        [kind] = self._random.choices(list(self.shares), list(self.shares.values()))
        if not kind:
            return self._proxy.forward(post)
        self.failed[kind] += 1
        if self._random.getrandbits(1):
            self._proxy.forward(post)
        if kind == "timeout":
            self._over.wait(TIMEOUT)
        return (self._random.choice((500, 502, 503, 504)), b"", {}) if kind == "5xx" else None

    def end(self) -> None:
        self._over.set()


def unreliable(environment: Environment, *, calls: int = 5_000) -> Result:
    """Attempts fail at random, before or after the report was stored."""
    environment.receiver.start()
    with FaultyProxy(environment.receiver) as proxy:
        fault = proxy.answer = Unreliable(proxy)
        begin = time.monotonic()
        user = environment.user("burst", calls=calls, reporter={"base_url": proxy.base_url})
        stats = user.line()
        taken = time.monotonic() - begin
        user.end()
        fault.end()
        attempts = len(proxy.posts)
    count, wrong = compare_numbers(environment.receiver.numbers(), calls)
    if stats["delivered"] != calls or stats["lost"]:
        wrong.append(f"stats: {stats}")
    failed = ", ".join(f"{times:,} {kind}" for kind, times in fault.failed.items())
    return Result(
        f"random 30 % of 5xx, resets and timeouts over {calls:,} reports",
        "one row per report, no duplicate; the circuit breaker stays closed",
        f"{count:,} rows after {attempts:,} attempts ({failed}; half of these after the receiver "
        f"had stored the report), 0 duplicates, in {taken:.0f} s; the breaker "
        f"stayed closed: {held(not stats['opened'])}",
        wrong,
    )


def poisoned(
    environment: Environment, *, good: int = 1_000, bad: int = 16, rounds: int = 3
) -> Result:
    """A few reports always get 500, among many others."""
    environment.receiver.start()
    taken: dict[int, list[float]] = {0: [], bad: []}
    wrong, opened = [], False
    for number in range(rounds):
        for how_many in (0, bad) if number % 2 else (bad, 0):
            with FaultyProxy(environment.receiver) as proxy:
                proxy.answer = lambda post, proxy=proxy: (
                    (500, b"", {}) if b'"poison"' in post.body else proxy.forward(post)
                )
                user = environment.user(
                    "poisoned", good=good, bad=how_many, reporter={"base_url": proxy.base_url}
                )
                stats = user.line()
                user.end()
            taken[how_many].append(stats["seconds"])
            opened = opened or stats["opened"]
            if stats["delivered"] != good or stats["lost"]:
                wrong.append(f"stats: {stats}")
    without, with_them = (statistics.median(each) for each in taken.values())
    ratios = sorted(b / a for a, b in zip(*taken.values(), strict=True))
    return Result(
        f"{bad} reports that always get 500, among {good:,} others",
        "the others are not delayed; the circuit breaker stays closed",
        f"the last of the others after {with_them:.2f} s, alone after {without:.2f} s; ratio "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {rounds} pairs); "
        f"the breaker stayed closed: {held(not opened)}",
        wrong,
    )


def paused(environment: Environment, *, calls: int = 50) -> list[Result]:
    """The server asks for a pause with `Retry-After`, and the process exits during it."""
    pauses = [Pause(429, "seconds", 3), Pause(503, "date", 3), Pause(429, "seconds", 60)]
    return [_leave_in(pause, environment, calls) for pause in pauses]


class Pause:
    """Answers the first report with a `Retry-After`, and records when each report arrived."""

    def __init__(self, status: int, form: str, seconds: int) -> None:
        self.status, self.form, self.seconds = status, form, seconds
        self.arrived: list[float] = []
        self.over_at = 0.0

    def __call__(self, _: Post) -> Answer:
        now = time.time()
        self.arrived.append(now)
        if len(self.arrived) > 1:
            return 200, b'{"status":"ok"}', {}
        if self.form == "seconds":
            self.over_at, value = now + self.seconds, str(self.seconds)
        else:  # a date has whole seconds only
            self.over_at = int(now) + 1 + self.seconds
            value = formatdate(self.over_at, usegmt=True)
        return self.status, b"", {"Retry-After": value}


def _leave_in(pause: Pause, environment: Environment, calls: int) -> Result:
    with FaultyProxy(environment.receiver) as proxy:
        proxy.answer = pause
        user = environment.user("paused", calls=calls, reporter={"base_url": proxy.base_url})
        _, errors = user.end()
    later = pause.arrived[1:]
    early = sum(at < pause.over_at for at in later)
    wrong = [f"{early} attempts came before the end of the pause"] if early else []
    lost = logged_as_lost(errors)
    if len(later) + lost != (calls if pause.seconds < BUDGET else calls + len(later)):
        wrong.append(f"{len(later)} more attempts, stderr: {errors}")
    if pause.seconds > BUDGET:
        seen = f"{len(later)} other attempts, also at exit; one log line counts {lost} as lost"
    else:
        first = min(later, default=0.0) - pause.over_at
        seen = (
            f"{early} attempts before, the first {first:.2f} s after; {len(later)} delivered at "
            f"exit (all: {held(not lost)})"
        )
    return Result(
        f"{pause.status} with a Retry-After of {pause.seconds} s, as {pause.form}; {calls} "
        "reports, then exit",
        "no attempt before that time, also not at exit",
        seen,
        wrong,
    )


def memory(environment: Environment, *, calls: int = 40_000) -> Result:
    """The backend is down while many large calls are made."""
    user = environment.user("memory", calls=calls)
    stats = user.line()
    user.end()
    bar = stats["limit"] * 1.2 + 20e6
    wrong = [] if stats["lost"] + stats["pending"] == calls else [f"stats: {stats}"]
    return Result(
        f"backend down, {calls:,} calls with 10 KB bodies",
        f"memory grows by at most `max_queue_bytes` + 20 % + 20 MB ({bar / 1e6:.0f} MB)",
        f"{stats['grown'] / 1e6:.0f} MB ({held(stats['grown'] <= bar)}); {stats['pending']:,} "
        f"pending, {stats['lost']:,} counted as lost",
        wrong,
    )
