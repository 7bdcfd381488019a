"""Faults: a fork in an outage, and calls after the shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environment import Result, Sink, compare_numbers, free_port, held

if TYPE_CHECKING:
    from environment import Environment


def forked(environment: Environment, *, calls: int = 500) -> Result:
    """A process forks while reports are pending."""
    with Sink() as sink:
        take = sink.answer
        sink.answer = lambda post: take(post) if b'"text":""' in post.body else (503, b"", {})
        user = environment.user("forked", calls=calls, reporter={"base_url": sink.base_url})
        child = user.line()
        sink.answer = take
        user.go_on()
        parent = user.line()
        user.end()
    count, wrong = compare_numbers(sink.found, calls + 1)
    if child["pending"] or child["bytes"] or child["delivered"] != 1:
        wrong.append(f"stats of the child: {child}")
    if parent["delivered"] != calls or parent["lost"]:
        wrong.append(f"stats of the parent: {parent}")
    return Result(
        f"fork with {calls} reports of 10 KB pending",
        "the child holds nothing of the backlog, and delivers its own report",
        f"{child['kept']} of {calls} reports kept in the child ({held(not child['kept'])}), its "
        f"own delivered; the parent delivers its own: {count - 1}, none twice",
        wrong,
    )


def after_shutdown(environment: Environment, *, calls: int = 500) -> Result:
    """Calls are made after the reporter was shut down."""
    target = {"base_url": f"http://127.0.0.1:{free_port()}/api/v1"}
    user = environment.user("after_shutdown", calls=calls, reporter=target)
    found = user.line()
    user.end()
    wrong = [] if found["lost"] == calls and not found["pending"] else [f"stats: {found}"]
    return Result(
        f"{calls} calls after `shutdown()`",
        "no thread is started; each report is counted as lost",
        f"{found['threads']} threads started ({held(not found['threads'])}); {found['lost']} "
        "counted as lost",
        wrong,
    )
