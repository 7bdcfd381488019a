"""
The cost of delivery, compared with `httpx.Client.post(json=...)` of equal reports in the same run.

    python benchmarks/delivery.py [--quick]

The server runs in another process. The reports are those of plain calls, 5 KB each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
from loopback import CHUNKS, chat_answer, chat_events, loopback_server, text_of
from pairs import compare, gc_frozen, measure

from openpipe_report import Reporter
from openpipe_report._delivery.outcome import Delivered
from openpipe_report._delivery.transport import Transport
from openpipe_report._report.encode import encode_report
from openpipe_report._report.exchange import Exchange
from openpipe_report._report.stream_formats import assemble
from openpipe_report._settings import Settings
from openpipe_report._version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairs import Ratio

SENDERS = 8
REQUEST = json.dumps(
    {
        "model": "gpt-4o-mini",
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": text_of(400)},
            {"role": "user", "content": text_of(1_400)},
        ],
    },
    separators=(",", ":"),
).encode()
ANSWER = chat_answer(2_700)


def exchange() -> Exchange:
    """Return a plain call as the caller's thread submits it."""
    return Exchange(
        endpoint="chat/completions",
        version=VERSION,
        requested_at=time.time(),
        metadata={"user": "u1", "feature": "search"},
        request=REQUEST,
        content=ANSWER,
        status=200,
        seconds=0.5,
    )


def show(name: str, ratio: Ratio, unit: str, bar: float, *, at_least: bool) -> None:
    met = ratio.value >= bar if at_least else ratio.value <= bar
    print(
        f"{name:<40} base {ratio.base:8.1f}  ours {ratio.other:8.1f} {unit:<14} "
        f"ratio {ratio.times}  n={ratio.pairs:<5} bar {'>=' if at_least else '<='} {bar}: "
        f"{'met' if met else 'missed'}",
        flush=True,
    )


def cpu_per_report(server: str, reports: int) -> None:
    settings = Settings(base_url=f"{server}/api/v1", api_key="key")  # type: ignore[arg-type]
    transport = Transport(settings)
    client = httpx.Client(headers={"Authorization": "Bearer key"})
    wire = exchange().build().to_wire()

    def raw() -> float:
        begin = time.thread_time()
        client.post(settings.report_url, json=wire).raise_for_status()
        return (time.thread_time() - begin) * 1e6

    def ours() -> float:
        source = exchange()
        begin = time.thread_time()
        body = encode_report(source, settings)
        outcome = transport.send(body, "9e107d9d-372b-4b5e-9a4d-3f2f0a1b2c3d")  # type: ignore[arg-type]
        taken = (time.thread_time() - begin) * 1e6
        if not isinstance(outcome, Delivered):
            raise SystemExit(f"not delivered: {outcome}")
        return taken

    for _ in range(50):
        raw()
        ours()
    with gc_frozen():
        taken: tuple[list[float], list[float]] = ([], [])
        measure(reports, [(raw, ours)], [taken])
    show("CPU of building and sending a report", compare(*taken), "us", 0.9, at_least=False)


def raw_loop(url: str, reports: int, wire: dict[str, Any]) -> Callable[[], None]:
    """Return a function that posts the reports from `SENDERS` threads."""
    client = httpx.Client(headers={"Authorization": "Bearer key"})

    def run() -> None:
        tickets = count()

        def post() -> None:
            while next(tickets) < reports:
                client.post(url, json=wire).raise_for_status()

        threads = [threading.Thread(target=post) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


def our_loop(reporter: Reporter, reports: int) -> Callable[[], None]:
    def run() -> None:
        sources = [exchange() for _ in range(reports)]
        for source in sources:
            reporter.submit(source)
        flushed = reporter.flush()
        if not flushed:
            raise SystemExit(f"not delivered: {flushed}")

    return run


def race(
    base: Callable[[], None], other: Callable[[], None], reports: int, rounds: int
) -> tuple[Ratio, Ratio]:
    """Alternate between two ways of delivery; compare their rates and their CPU time."""
    rates: dict[Any, list[float]] = {base: [], other: []}
    cpu: dict[Any, list[float]] = {base: [], other: []}
    for number in range(-1, rounds):
        for run in (other, base) if number % 2 else (base, other):
            wall, process = time.perf_counter(), time.process_time()
            run()
            if number >= 0:  # the first round warms up
                rates[run].append(reports / (time.perf_counter() - wall))
                cpu[run].append((time.process_time() - process) / reports * 1e6)
    return compare(rates[base], rates[other]), compare(cpu[base], cpu[other])


def throughput(server: str, latency: int, reports: int, rounds: int) -> None:
    where = {"base_url": f"{server}/{latency}ms/api/v1", "api_key": "key", "senders": SENDERS}
    what = f"{SENDERS} threads, server answers after {latency} ms"
    memory = Reporter(**where)
    raw = raw_loop(memory.settings.report_url, reports, exchange().build().to_wire())
    ours = our_loop(memory, reports)
    rate, cpu = race(raw, ours, reports, rounds)
    show(what, rate, "reports/s", 1.0, at_least=True)
    show("  CPU of the process", cpu, "us/report", 0.9, at_least=False)
    with tempfile.TemporaryDirectory() as folder:
        spooled = Reporter(**where, spool=f"{folder}/spool")
        rate, _ = race(ours, our_loop(spooled, reports), reports, rounds)
        show("  with a spool, compared with memory only", rate, "reports/s", 0.6, at_least=True)
        spooled.shutdown()
    memory.shutdown()


def assembly(rounds: int) -> None:
    body = b"".join(chat_events()) + b"data: [DONE]\n\n"
    taken = []
    with gc_frozen():
        for _ in range(rounds):
            begin = time.thread_time()
            assemble(body)
            taken.append((time.thread_time() - begin) * 1e6 / CHUNKS)
    quarters = statistics.quantiles(taken, n=4)
    print(
        f"assembly of a stream of {CHUNKS} chunks: {quarters[1]:.1f} us per chunk "
        f"(the middle half of {rounds} rounds: {quarters[0]:.1f} to {quarters[2]:.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="send few reports, only to try the benchmark"
    )
    quick = parser.parse_args().quick
    size = len(encode_report(exchange(), Settings()))
    print(f"httpx {httpx.__version__}; reports of {size} bytes")
    assembly(10 if quick else 300)
    with loopback_server() as server:
        cpu_per_report(server, 20 if quick else 3_000)
        throughput(server, 0, 50 if quick else 2_000, 2 if quick else 8)
        throughput(server, 50, 50 if quick else 400, 2 if quick else 12)


if __name__ == "__main__":
    main()
