"""The reporter: bounds, retries, hooks, and what flush() and stats() say of them."""

from __future__ import annotations

import gc
import itertools
import logging
import math
import random
import sys
import threading
import time
from collections import Counter
from queue import SimpleQueue

import httpx
import pytest
from support.backend import HANG_GUARD, OK, Backend, Made, Reset, run_script
from support.mock_server import URL, Gate, Server, make
from support.timing import AT_ONCE, NEVER, idle_for, timed_reporter
from tenacity import wait_fixed, wait_none

import openpipe_report
from openpipe_report import Reporter, Stats
from openpipe_report._delivery import registry, retry
from openpipe_report._delivery.accounting import Accounting
from openpipe_report._delivery.channel import Timing
from openpipe_report._delivery.queue import PendingReport, ReportQueue
from openpipe_report._delivery.retry import RetryTiming


def settle(reporter):
    """Wait until each report has ended or waits for another attempt."""
    deadline = time.monotonic() + HANG_GUARD
    while not reporter.channel.threads.all_scheduled_after(0.0) and reporter.accounting.pending:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "openpipe_report"]


def test_nothing_before_the_first_report():
    """A reporter that has nothing to report has no thread."""
    before = threading.active_count()
    reporter = Reporter(base_url=URL)
    assert reporter.flush()
    assert threading.active_count() == before
    assert reporter.stats() == Stats()


def test_delivers():
    """What is submitted arrives, and is counted as delivered."""
    server = Server()
    reporter = make(server)
    reporter.submit(Made("a", statusCode=200))
    assert reporter.flush()
    assert server.bodies == [b'{"reqPayload":{"label":"a"},"statusCode":200}']
    assert (reporter.stats().delivered, reporter.stats().pending_bytes) == (1, 0)


def test_queue_full_in_reports(caplog):
    """A full queue drops the newest report, counts it, tells on_drop, and logs one line."""
    gate, told, done = Gate(), [], threading.Event()

    def on_drop(reason, count):
        told.append((reason, count))
        if sum(count for _, count in told) == 3:
            done.set()

    server = Server(gate)
    reporter = make(server, max_queue_reports=2, senders=1, on_drop=on_drop)
    reporter.submit(Made("first"))
    assert gate.reached.wait(HANG_GUARD)
    for label in "abcd":
        reporter.submit(Made(label))
    stats = reporter.stats()
    assert (stats.pending, stats.dropped) == (2, {"queue full": 3})
    gate.opened.set()
    flushed = reporter.flush()
    assert not flushed
    assert (flushed.pending, flushed.lost, flushed.reason) == (0, 3, "queue full")
    assert done.wait(HANG_GUARD)
    assert [body[24:].split(b'"')[0] for body in server.bodies] == [b"first", b"a"]
    reporter.submit(Made())
    assert reporter.flush()
    [line] = warnings_of(caplog)
    assert "3 report(s) to receiver.test lost: queue full" in line


def test_queue_full_in_bytes():
    """Bytes are bounded, too: those in the queue, between attempts, and of open streams."""
    gate = Gate()
    reporter = make(Server(gate), max_queue_bytes=10_000, senders=1)
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    reservation = reporter.accounting.reserve()
    assert reservation.grow(5_000)
    reporter.submit(Made("big", size=6_000))
    reporter.submit(Made("small", size=4_000))
    assert reporter.stats().dropped == {"queue full": 1}
    reservation.close()
    assert not reservation.grow(1)
    gate.opened.set()
    reporter.flush()
    assert reporter.stats().delivered == 2


def test_growth_is_bounded():
    """Reports that grow beyond the room in the building do not stay to wait."""
    server = Server(lambda request: 500)
    reporter = make(server, NEVER, senders=1, max_queue_bytes=2_000)
    for _ in range(3):
        reporter.submit(Made("é" * 200, size=100))
    settle(reporter)
    stats = reporter.stats()
    assert stats.pending == 1
    assert stats.pending_bytes < 2_000
    assert stats.dropped == {"queue full": 2}


@pytest.mark.parametrize("status", [407, 408, 409, 425, 429, 500, 502, 503, 504])
def test_retries(status):
    """A retryable status is tried again, with the same Idempotency-Key."""
    answers = iter([status, status, 200, 200])
    server = Server(lambda request: next(answers))
    reporter = make(server, AT_ONCE, senders=1)
    reporter.submit(Made())
    assert reporter.flush()
    reporter.submit(Made())
    assert reporter.flush()
    first, second, third, other = server.keys
    assert first == second == third != other


@pytest.mark.parametrize(
    "answer, told",
    [
        (httpx.Response(400, json={"message": "no", "code": "BAD"}), "(HTTP 400 BAD: no)"),
        (httpx.Response(401, json={"message": "opk-secret?", "code": "X"}), "(HTTP 401 X: [key]?)"),
        (httpx.Response(413), "(HTTP 413)"),
        (httpx.Response(302, headers={"Location": "http://x/"}), "(HTTP 302, a redirect"),
        (httpx.Response(200, json={"status": "error"}), '(HTTP 200 {"status": "error"})'),
    ],
    ids=["400", "401", "413", "302", "error"],
)
def test_rejected(answer, told, caplog):
    """A refusal is not tried again, and logged once with the server's message, no key in it."""
    server = Server(lambda request: answer)
    lost = []
    reporter = make(server, api_key="opk-secret", on_drop=lambda *drop: lost.append(drop))
    reporter.submit(Made("prompt"))
    flushed = reporter.flush()
    assert (bool(flushed), flushed.lost, flushed.reason) == (False, 1, "rejected")
    reporter.submit(Made("prompt"))
    assert reporter.flush().lost == 1
    assert len(server.keys) == reporter.stats().rejected == 2
    assert lost == [("rejected", 1), ("rejected", 1)]
    [line] = warnings_of(caplog)
    assert told in line
    assert "secret" not in line
    assert "prompt" not in line


def test_gives_up(caplog):
    """After retry_for a report is dropped, counted, and its last failure is logged."""
    reporter = make(Server(lambda request: 503), retry_for=0)
    reporter.submit(Made())
    assert reporter.flush().reason == "gave up"
    assert reporter.stats().dropped == {"gave up": 1}
    assert "gave up (HTTP 503)" in warnings_of(caplog)[0]


def test_poisoned_reports_delay_nobody():
    """Reports that always fail wait in the heap, not on the threads."""
    server = Server(lambda request: 500 if b"poison" in request.content else 200)
    reporter = make(server, NEVER, senders=2)
    for number in range(100):
        reporter.submit(Made("poison" if number % 5 == 0 else "good"))
    settle(reporter)
    stats = reporter.stats()
    assert (stats.delivered, stats.pending) == (80, 20)
    flushed = reporter.flush(0)
    assert (flushed.pending, flushed.lost, flushed.reason) == (20, 0, "HTTP 500")


def test_an_answer_of_somebody_else():
    """A 200 that is not the API's (a captive portal, a cut body) is no refusal: it is retried."""
    pages = iter(["<html>Log in</html>", '{"status": "o', ""])
    page = lambda: httpx.Response(200, text=next(pages))  # noqa: E731
    server = Server(lambda request: page() if len(server.keys) <= 3 else 200)
    reporter = make(server, AT_ONCE)
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD)
    assert len(server.keys) == 4
    assert len(set(server.keys)) == 1


AT_ONCE_AND_THEN_NEVER = Timing(
    RetryTiming(
        wait=lambda state: 0.0 if state.attempt_number < 2 else 500.0,
        probe_wait=lambda state: 0.0 if state.attempt_number < 2 else 500.0,
        shortest_probe=0.0,
    )
)
"""Retries are due at once the first time, and then not in a test."""


FAILURES = {
    "refused": lambda request: httpx.ConnectError("down"),
    "reset": lambda request: httpx.ReadError("reset"),
    "timeout": lambda request: httpx.ReadTimeout("slow"),
    "500": lambda request: 500,
    "502": lambda request: 502,
    "503": lambda request: 503,
    "429": lambda request: 429,
    "portal": lambda request: httpx.Response(200, text="<html>"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_outage_is_not_hammered(failure):
    """While every report fails they do not try one after the other, new ones neither."""
    server = Server(failure)
    reporter = make(server, AT_ONCE_AND_THEN_NEVER, senders=1)
    for _ in range(200):
        reporter.submit(Made())
    settle(reporter)
    assert reporter.stats().pending == 200
    # What may fail in a row, each at most twice and some with an immediate repeat; one probe.
    assert len(server.keys) <= 4 * (retry.FEWEST_FAILURES + 2)
    assert reporter.flush(0).reason


@pytest.mark.parametrize("answer", [200, 400])
def test_a_success_ends_an_outage(answer):
    """After an outage one report that is taken or refused makes all of them due."""
    down = threading.Event()
    down.set()
    answers = iter([answer])
    server = Server(
        lambda request: httpx.ConnectError("down") if down.is_set() else next(answers, 200)
    )
    timing = Timing(RetryTiming(wait=wait_fixed(500), probe_wait=wait_none(), shortest_probe=0.0))
    reporter = make(server, timing, senders=2)
    for _ in range(40):
        reporter.submit(Made())
    settle(reporter)
    assert reporter.stats().pending == 40
    down.clear()
    reporter.submit(Made())
    settle(reporter)
    assert reporter.stats().delivered == 40 + (answer == 200)


def test_reports_never_sent_probe_first():
    """In an outage reports that always fail are not in the way of others."""
    server = Server(lambda request: httpx.ConnectError("no") if b"bad" in request.content else 200)
    reporter = make(server, NEVER, senders=1)
    breaker = reporter.channel.sender.retries.breaker
    bad = retry.FEWEST_FAILURES + 1
    for _ in range(bad):
        reporter.submit(Made("bad"))
    settle(reporter)
    assert breaker.is_open
    for _ in range(10):
        reporter.submit(Made("good"))
    settle(reporter)
    assert len(server.keys) == bad
    reporter.channel.queue.expire_delays()
    breaker.next_probe = 0.0
    while reporter.stats().delivered < 10:
        threading.Event().wait(0.001)
    assert b"good" in server.bodies[bad]


def test_few_poisoned_reports_open_no_breaker():
    """Sixteen reports that always fail, among a thousand good ones, hold up nothing."""
    server = Server(lambda request: 500 if b"poison" in request.content else 200)
    reporter = make(server, NEVER)
    for number in range(1000):
        reporter.submit(Made("poison" if number % 60 == 0 else "good"))
    settle(reporter)
    assert reporter.stats().delivered == 1000 - 17
    assert not reporter.channel.sender.retries.breaker.is_open


def test_exit_in_an_outage_is_short():
    """At exit what waits is tried once more, until it is plain that nothing answers."""
    down = threading.Event()
    server = Server(lambda request: httpx.ConnectError("down") if down.is_set() else 503)
    reporter = make(server, NEVER, senders=1)
    for _ in range(50):
        reporter.submit(Made())
    settle(reporter)
    tried = len(server.keys)
    assert tried == retry.FEWEST_FAILURES + 1
    down.set()
    reporter.channel.drain(time.monotonic() + HANG_GUARD)
    assert len(server.keys) <= tried + retry.FEWEST_FAILURES + 1


def test_retry_after_pauses_the_host():
    """After a Retry-After nothing is sent there, by no reporter, not even at exit."""
    busy = httpx.Response(429, headers={"Retry-After": "300"})
    server = Server(lambda request: busy)
    reporter, other = make(server), make(server)
    reporter.submit(Made())
    settle(reporter)
    for one in (reporter, other):
        one.submit(Made())
        settle(one)
        one.channel.drain(time.monotonic() + 5)
    assert len(server.keys) == 1
    assert "Retry-After" in other.flush(0).reason


def test_retry_after_in_time_is_waited_for_at_exit():
    """At exit a pause that ends within the budget is waited for, and what waits is sent."""
    answers = iter([httpx.Response(503, headers={"Retry-After": "1"}), 200])
    reporter = make(Server(lambda request: next(answers)))
    reporter.submit(Made())
    settle(reporter)
    reporter.channel.drain(time.monotonic() + HANG_GUARD)
    assert reporter.stats().delivered == 1


def test_retry_after_beyond_retry_for():
    """What was tried is given up; what comes later waits for the server, an hour at the most."""
    busy = httpx.Response(429, headers={"Retry-After": "9" * 400})
    reporter = make(Server(lambda request: busy))
    reporter.submit(Made())
    reporter.flush(HANG_GUARD)
    reporter.submit(Made())
    flushed = reporter.flush(0)
    assert (flushed.pending, flushed.lost) == (1, 0)
    assert reporter.stats().dropped == {"gave up": 1}
    assert reporter.channel.sender.retries.paused_until <= time.monotonic() + 3600


def test_flush_tells_of_pending():
    """A flush that runs out of time says how many are pending, and the next one that they came."""
    gate = Gate()
    reporter = make(Server(gate))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    flushed = reporter.flush(0)
    assert (bool(flushed), flushed.pending, flushed.reason) == (False, 1, "not answered yet")
    gate.opened.set()
    assert reporter.flush(math.inf)


def test_flush_tells_of_a_late_loss():
    """A loss after a flush that ran out of time is told by the next one, and then no more."""
    gate = Gate()

    def refuse(request):
        gate(request)
        return 400

    reporter = make(Server(refuse))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    assert reporter.flush(0).pending == 1
    gate.opened.set()
    while reporter.stats().pending:
        threading.Event().wait(0.001)
    assert reporter.flush().lost == 1
    assert reporter.flush()


def test_flush_waits_for_what_was_before_only():
    """A flush does not wait for what is submitted after it began."""
    gates = {b"a": Gate(), b"b": Gate()}
    server = Server(lambda request: gates[request.content[24:25]](request))
    reporter = make(server)
    results = []
    reporter.submit(Made("a"))
    assert gates[b"a"].reached.wait(HANG_GUARD)
    flusher = threading.Thread(target=lambda: results.append(reporter.flush(HANG_GUARD)))
    epochs = reporter.accounting.flushes._epochs
    flusher.start()
    while reporter.accounting.flushes._epochs is epochs:
        threading.Event().wait(0.001)
    reporter.submit(Made("b"))
    gates[b"a"].opened.set()
    flusher.join(HANG_GUARD)
    assert results[0]
    gates[b"b"].opened.set()
    assert reporter.flush()


@pytest.mark.parametrize("everything", [False, True], ids=["own", "all"])
def test_flush_in_a_hook(everything):
    """A flush in a hook does not wait for itself."""
    seen = []

    def hook(report):
        seen.append(openpipe_report.flush(None) if everything else reporter.flush(None))
        return report

    reporter = make(Server(), before_report=hook)
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD)
    assert [flushed.pending in {0, 1} for flushed in seen] == [True]  # its submission may go on


def test_flush_in_on_drop():
    """A flush in on_drop does not wait for itself either."""
    seen = []
    reporter = make(Server(lambda _: 400), on_drop=lambda *_: seen.append(reporter.flush(None)))
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD).lost == 1
    assert [flushed.pending in {0, 1} for flushed in seen] == [True]  # its submission may go on


def test_shutdown(caplog):
    """After a shutdown reports are dropped, counted and told of; the threads end."""
    told = threading.Event()
    reporter = make(Server(), on_drop=lambda *_: told.set())
    reporter.submit(Made())
    assert reporter.shutdown()
    reporter.submit(Made())
    reporter.flush()
    assert told.wait(HANG_GUARD)
    stats = reporter.stats()
    assert (stats.delivered, stats.dropped) == (1, {"shutdown": 1})
    assert "1 report(s) to receiver.test lost: shutdown" in warnings_of(caplog)[0]
    while reporter.stats().threads:
        threading.Event().wait(0.001)


def test_nothing_starts_after_a_shutdown(monkeypatch):
    """A report after the shutdown costs a count: no thread starts; `flush()` calls on_drop."""
    lost = []
    reporter = make(Server(), on_drop=lambda *drop: lost.append(drop))
    reporter.shutdown()
    monkeypatch.setattr(threading.Thread, "start", lost.append)
    for _ in range(5):
        assert not reporter.submit(Made())
    assert lost == []
    assert reporter.stats().dropped == {"shutdown": 5}
    assert reporter.flush().lost == 5
    assert lost == [("shutdown", 5)]


def test_shutdown_drops_what_waits():
    """What waits for another attempt is dropped by a shutdown, and its failure told."""
    reporter = make(Server(lambda request: 500), NEVER)
    reporter.submit(Made())
    settle(reporter)
    assert reporter.shutdown(0).reason == "HTTP 500"
    assert reporter.stats().dropped == {"shutdown": 1}


def test_shutdown_lets_what_is_sent_end():
    """What is being sent at a shutdown is counted as what becomes of it."""
    gate = Gate()
    reporter = make(Server(gate))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    reporter.shutdown(0)
    gate.opened.set()
    while reporter.stats().threads:
        threading.Event().wait(0.001)
    assert reporter.stats() == Stats(delivered=1)


def test_module_level_flush_and_shutdown():
    """The package's flush() and shutdown() act on every reporter, and add up what they found."""
    reporters = [make(Server()), make(Server(lambda request: 400))]
    for reporter in reporters:
        reporter.submit(Made())
    assert openpipe_report.flush().lost == 1
    assert openpipe_report.shutdown()
    assert all(reporter.closed for reporter in reporters)


def test_every_report_is_counted_once():
    """Whatever happens on however many threads, each report is in exactly one counter."""
    chance = random.Random(1)
    outcomes = [200, 200, 500, 400, httpx.ReadTimeout("t"), httpx.ConnectError("c"), RuntimeError()]

    def hook(report):
        if chance.random() < 0.1:
            raise ValueError
        return report if chance.random() < 0.9 else None

    reporter = make(
        Server(lambda request: chance.choice(outcomes)),
        before_report=hook,
        max_queue_reports=100,
        senders=8,
        retry_for=0.2,
    )

    def submit():
        for _ in range(200):
            reporter.submit(Made())

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_GUARD)
    flushed = reporter.flush(HANG_GUARD)
    stats = reporter.stats()
    lost = stats.rejected + sum(stats.dropped.values())
    assert stats.delivered + stats.sampled_out + lost == 800
    assert (flushed.pending, flushed.lost) == (0, lost)
    assert (stats.pending, stats.pending_bytes) == (0, 0)
    assert stats.threads <= 8


@pytest.mark.parametrize(
    "hook, bodies, counter",
    [
        (lambda report: report.model_copy(update={"reqPayload": 1}), [b'{"reqPayload":1}'], {}),
        (lambda report: None, [], {"sampled_out": 1}),
        (lambda report: 1 / 0, [], {"dropped": {"before_report raised": 1}}),
        (lambda report: sys.exit(), [], {"dropped": {"before_report raised": 1}}),
        (lambda report: "no report", [], {"dropped": {"before_report raised": 1}}),
    ],
    ids=["change", "none", "raise", "exit", "nonsense"],
)
def test_before_report(hook, bodies, counter):
    """The hook changes, leaves out, or fails; then the report is dropped, never sent raw."""
    server = Server()
    reporter = make(server, before_report=hook)
    reporter.submit(Made())
    reporter.flush()
    assert server.bodies == bodies
    stats = reporter.stats()
    expected = {"sampled_out": 0, "dropped": {}, **counter}
    assert {name: getattr(stats, name) for name in expected} == expected


def test_source_that_fails():
    """A source that cannot be built is dropped and counted, and the next one delivered."""

    class Broken(Made):
        def build(self, sent=None):
            raise KeyboardInterrupt

    reporter = make(Server(), senders=1)
    reporter.submit(Broken())
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD).reason == "could not be built"
    assert (reporter.stats().delivered, reporter.stats().pending_bytes) == (1, 0)


def test_on_drop_that_fails():
    """An on_drop that raises, whatever it is, stops no thread."""
    answers = iter([400, 200])
    reporter = make(Server(lambda _: next(answers)), on_drop=lambda *_: sys.exit(), senders=1)
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD).lost == 1
    reporter.submit(Made())
    assert reporter.flush(HANG_GUARD)


def test_sample_rate_keeps_errors():
    """Sampling leaves out calls that went well, never those that failed."""
    server = Server()
    reporter = make(server, sample_rate=0)
    reporter.submit(Made("good", statusCode=200))
    reporter.submit(Made("bad", statusCode=500, errorMessage="no"))
    assert reporter.flush()
    assert [b"bad" in body for body in server.bodies] == [True]
    assert reporter.stats().sampled_out == 1


def test_large_report_is_cut():
    """A report over the limit has its largest strings cut and marked."""
    server = Server()
    reporter = make(server, max_report_bytes=2_000)
    reporter.submit(Made("x" * 10_000))
    assert reporter.flush()
    assert len(server.bodies[0]) <= 2_000
    assert b"[cut: " in server.bodies[0]


def test_too_large_report():
    """A report that is too large is cut, whatever makes it large, and delivered."""
    server = Server()
    reporter = make(server, max_report_bytes=2_000)
    reporter.submit(Made(list(range(10_000))))
    assert reporter.flush()
    [body] = server.bodies
    assert len(body) <= 2_000
    assert b"of 10000 items]" in body


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "\ud800", "\0", nested(5_000), object(), 10**5000],
    ids=["nan", "inf", "surrogate", "nul", "deep", "object", "long-integer"],
)  # fmt: skip
def test_what_json_cannot_say(value):
    """Odd values reach the server as JSON that it can read."""
    server = Server()
    reporter = make(server)
    reporter.submit(Made(value))
    assert reporter.flush()
    assert server.bodies[0].isascii()


def test_threads_end_when_idle():
    """With nothing to do there is no thread, and the next report starts one again."""
    reporter = make(Server(), idle_for(0.01))
    for _ in range(2):
        reporter.submit(Made())
        assert reporter.flush()
        while reporter.stats().threads:
            threading.Event().wait(0.001)
    assert reporter.stats().delivered == 2


def test_threads_for_a_server_that_keeps_them_waiting():
    """Where answers take their time, as many are waited for at once as there may be threads."""
    together = threading.Barrier(4)
    count = itertools.count()

    def answer(request):
        if next(count) < 4:
            together.wait(HANG_GUARD)
        return 200

    reporter = make(Server(answer), senders=4)
    for _ in range(400):
        reporter.submit(Made())
    assert reporter.flush()
    assert reporter.stats().delivered == 400


def test_an_answer_that_does_not_come_delays_nobody():
    """While one report gets no answer, the others are delivered."""
    gate = Gate()
    count = itertools.count()
    server = Server(lambda request: gate(request) if next(count) in (0, 50) else 200)
    reporter = make(server, senders=8)
    for _ in range(400):
        reporter.submit(Made())
    while reporter.stats().delivered < 398:
        threading.Event().wait(0.001)
    assert reporter.stats().pending == 2
    gate.opened.set()
    assert reporter.flush()


def test_one_hanging_report_delays_nobody():
    """Where one thread does it all and gets no answer, another takes its place."""
    gate = Gate()
    server = Server(lambda request: gate(request) if b"hang" in request.content else 200)
    reporter = make(server)
    for _ in range(100):
        reporter.submit(Made())
    assert reporter.flush()
    reporter.submit(Made("hang"))
    assert gate.reached.wait(HANG_GUARD)
    for number in range(3):
        reporter.submit(Made())
        while reporter.stats().delivered < 101 + number:
            threading.Event().wait(0.001)
    gate.opened.set()
    assert reporter.flush()


def test_slow_on_drop_delays_nobody():
    """While a hook of the user's takes its time, reports are delivered."""
    gate, dropping = Gate(), Gate()
    server = Server(lambda request: gate(request) if b"hang" in request.content else 200)
    reporter = make(server, max_queue_reports=2, on_drop=lambda *_: dropping(None))
    reporter.submit(Made("hang"))
    assert gate.reached.wait(HANG_GUARD)
    for _ in range(5):
        reporter.submit(Made())
    gate.opened.set()
    assert dropping.reached.wait(HANG_GUARD)
    before = reporter.stats().delivered
    reporter.submit(Made())
    while reporter.stats().delivered == before:
        threading.Event().wait(0.001)
    dropping.opened.set()
    reporter.shutdown()


@pytest.mark.parametrize("way", ["rejected", "queue full", "shutdown"])
def test_log_filter_that_fails(way):
    """What the user's logging raises costs no report its place in the count."""

    def refuse(record):
        if "lost" in record.msg:
            raise ValueError("a filter's")
        return True

    answer = {"rejected": 400, "queue full": 200, "shutdown": 500}[way]
    reporter = make(Server(lambda request: answer), NEVER, max_queue_reports=3)
    log = logging.getLogger("openpipe_report")
    log.addFilter(refuse)
    try:
        for _ in range(100):
            reporter.submit(Made())
        settle(reporter)
        reporter.shutdown(0)
        while reporter.stats().threads:
            threading.Event().wait(0.001)
    finally:
        log.removeFilter(refuse)
    stats = reporter.stats()
    assert stats.delivered + stats.rejected + sum(stats.dropped.values()) == 100
    assert stats.pending == 0


def test_a_thread_that_sleeps_is_woken():
    """However sleeping and putting coincide, each report is taken in time."""
    queue = ReportQueue()
    taken, over = SimpleQueue(), threading.Event()

    def take():
        while not over.is_set():
            item = queue.take(0.0005, lambda: 0.0)
            if item is not None:
                taken.put(item)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    for number in range(3000):
        pending = PendingReport(Made(), 1, None, None)
        if number % 2:
            queue.put(pending)
        else:
            queue.schedule(pending, 0.0)
        assert taken.get(timeout=HANG_GUARD) is pending
    over.set()
    thread.join(HANG_GUARD)
    assert not thread.is_alive()


def test_no_report_is_lost_between_threads():
    """A report that comes while the last thread leaves is delivered."""
    reporter = make(Server(), idle_for(0.0))
    for _ in range(300):
        reporter.submit(Made())
        while reporter.accounting.pending:
            threading.Event().wait(0.0001)
    assert reporter.stats().delivered == 300


def test_thread_that_cannot_start(monkeypatch):
    """Where no thread can be started the report waits for one that can."""
    reporter = make(Server())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError))
        reporter.submit(Made())
    assert reporter.stats().threads == 0
    assert reporter.flush()


def test_finalizer_inside_the_ledger(monkeypatch):
    """A report made by a finalizer in the midst of the accounting's own work does not deadlock."""
    reporter = make(Server())
    outer = Accounting._close
    submitted = []

    def close(self, mark, size):
        if not submitted:
            submitted.append(1)
            reporter.submit(Made("by a finalizer"))
        return outer(self, mark, size)

    monkeypatch.setattr(Accounting, "_close", close)
    reporter.submit(Made())
    while reporter.stats().delivered < 2:
        threading.Event().wait(0.001)


def test_flush_in_a_signal_handler():
    """Signals that report and flush, as often as they come, neither deadlock nor cost a report."""
    script = """
import signal, time
sent = [0, 0]
def handle(*_):
    sent[1] += 1
    reporter.submit(Made(0))
    reporter.flush(0.001)
    signal.setitimer(signal.ITIMER_REAL, 0.0011 if sent[1] < 500 else 0)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while sent[1] < 500:
    sent[0] += 1
    reporter.submit(Made(0))
    reporter.flush(0.002)
assert reporter.flush(30)
assert reporter.stats().delivered == sum(sent), (sent, reporter.stats())
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
    assert (done.returncode, done.stderr) == (0, "")


def test_equal_settings_share_a_reporter():
    """Clients with equal settings share one reporter, whether or not their hooks have a hash."""

    class Hook:
        __hash__ = None

        def __call__(self, report):
            return report

    hook = Hook()

    def shared(**settings):
        loaded = openpipe_report.Settings(base_url=URL, **settings)
        return registry.shared_reporter(loaded)

    assert shared() is shared()
    one = shared(before_report=hook)
    assert one is shared(before_report=hook)
    assert one is not shared()


def test_reporters_that_nobody_uses_are_freed():
    """A reporter without clients, reports and threads is not kept."""
    loaded = openpipe_report.Settings(base_url=URL, before_report=lambda report: report)
    reporter = registry.shared_reporter(loaded)
    count = len(registry.live_reporters())
    del reporter
    gc.collect()
    assert len(registry.live_reporters()) == count - 1


def test_no_payload_in_a_fault(caplog):
    """The log line of a fault of our own holds neither payload nor key."""
    caplog.set_level(logging.DEBUG, "openpipe_report")

    def hook(report):
        raise ValueError(report.reqPayload)

    reporter = make(Server(), api_key="opk-secret", before_report=hook)
    reporter.submit(Made("my prompt"))
    reporter.flush()
    lines = "\n".join(warnings_of(caplog))
    assert "before_report raised" in lines
    assert "my prompt" not in lines
    assert "secret" not in lines


@pytest.mark.parametrize(
    "broken",
    [
        None,
        Reset(),
        Reset(b"HTTP/1.1 200 OK\r\nContent-Le"),
        Reset(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status"'),
        "unread",
    ],
    ids=["closed", "reset", "in-the-headers", "in-the-body", "in-the-request"],
)
def test_broken_connection(broken):
    """Wherever a connection breaks, the report is tried again under its key, until it arrives."""
    unread = iter([True] * 3) if broken == "unread" else iter([])
    with Backend() as backend:
        backend.resets_unread = lambda headers: next(unread, False)
        backend.answer = lambda post: OK if len(backend.posts) > 3 or broken == "unread" else broken
        reporter = timed_reporter(AT_ONCE, base_url=backend.base_url)
        reporter.submit(Made(1, size=2**20, respPayload="x" * 2**20))
        assert reporter.flush(HANG_GUARD)
        reporter.shutdown()
        stats = reporter.stats()
        assert (stats.delivered, stats.dropped) == (1, {})
        assert len(backend.posts) == (1 if broken == "unread" else 4)
        assert len({post.key for post in backend.posts}) == 1
        assert next(unread, None) is None


def test_outage_and_recovery_on_a_real_socket():
    """Over a real connection that is reset again and again, all arrive, each under one key."""
    chance = random.Random(1)
    with Backend() as backend:
        backend.answer = lambda post: chance.choice([OK, OK, None, (503, b"", {})])
        reporter = timed_reporter(AT_ONCE, base_url=backend.base_url)
        for number in range(100):
            reporter.submit(Made(number))
        assert reporter.flush(HANG_GUARD)
        reporter.shutdown()
    by_key = {post.key: post.label for post in backend.posts}
    assert sorted(by_key.values()) == list(range(100))
    assert Counter(by_key.values()).most_common(1)[0][1] == 1


def test_clear_wakes_who_sleeps():
    """A thread that sleeps in the queue looks again, though the clearing has taken its wake-up."""
    queue = ReportQueue()
    for _ in range(40):
        thread = threading.Thread(target=queue.take, args=(HANG_GUARD, lambda: 0.0), daemon=True)
        thread.start()
        queue.wake()
        queue.clear(lambda _: True)
        thread.join(HANG_GUARD / 2)
        assert not thread.is_alive()
