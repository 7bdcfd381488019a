"""
The speed of the receiver's store as it grows: inserts, lists, searches and statistics.

    python benchmarks/store.py [SIZE ...] [--folder FOLDER]

One store is filled up to each size in turn (default: 10,000 and 100,000; 1,000,000 takes 7 GB).
Reports are about 4 KB, of thirty days, with words that are as unevenly frequent as real ones.
Inserts are timed without making the reports, and with the search index, which follows.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openpipe_report.server.store import Filter, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (10_000, 100_000)
DAY_MS = 86_400_000
DAYS = 30
FIRST_MS = 1_780_000_000_000
BLOCK = 2_000
IN_FLIGHT = 64
MAX_BATCH = 500
MEASURED = 10_000
REPEATS = 7
MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-5-mini", "claude-sonnet-4-5", "text-davinci", "local-llama")
SHARES = (40, 25, 15, 12, 5, 3)
JAPANESE = (
    "注文番号の返金について教えてください。商品がまだ届いていません。配送状況を確認したいです。"
)


class Source:
    """Makes reports; the same ones in each run."""

    def __init__(self, total: int) -> None:
        self._random = random.Random(1)  # noqa: S311 - not for secrets
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._vocabulary = [
            "".join(self._random.choices(letters, k=self._random.randint(3, 10)))
            for _ in range(40_000)
        ]
        weights = [1 / (rank + 5) for rank in range(len(self._vocabulary))]
        self._words = self._random.choices(self._vocabulary, weights=weights, k=3_000_000)
        self._total = total

    def common(self, count: int) -> list[str]:
        """Return some of the most frequent words."""
        return self._vocabulary[3 : 3 + count]

    def text(self, words: int) -> str:
        start = self._random.randrange(len(self._words) - words)
        return " ".join(self._words[start : start + words])

    def report(self, number: int) -> dict[str, Any]:
        pick = self._random
        model = pick.choices(MODELS, SHARES)[0]
        requested = FIRST_MS + number * DAYS * DAY_MS // self._total
        failed = pick.random() < 0.03
        prompt = self.text(350)
        if number % 5_000 == 77:
            prompt += " a café refund, please"
        if number % 50 == 7:
            prompt = JAPANESE * 5 + prompt[:1_000]
        answer: dict[str, Any] = {"role": "assistant", "content": self.text(150)}
        if number % 500 == 3:
            arguments = f'{{"city": "Ly\\u00f3n", "order": "ord-{number}"}}'
            call = {"function": {"name": "find_order", "arguments": arguments}}
            answer["tool_calls"] = [{"id": "call_1", "type": "function", **call}]
        tokens = (pick.randint(300, 900), pick.randint(50, 400))
        report = {
            "requestedAt": requested,
            "receivedAt": requested + round(pick.lognormvariate(6.5, 0.8)),
            "reqPayload": {
                "model": model,
                "messages": [{"role": "user", "content": prompt}],
                "metadata": {
                    "user": f"u-{pick.randrange(5_000)}",
                    "feature": f"feature-{min(int(pick.expovariate(0.3)), 30)}",
                    "env": "prod" if pick.random() < 0.8 else "test",
                },
            },
            "statusCode": pick.choice((429, 500, 503)) if failed else 200,
            "tags": {
                "$sdk": "openpipe-report",
                "$endpoint": "chat/completions",
                "$retries": 0,
                "$time_to_first_byte_ms": round(pick.lognormvariate(5, 0.5), 3),
            },
        }
        if number % 4 == 0:
            report["tags"]["$trace_id"] = f"{number // 12:032x}"
            report["tags"]["$span_id"] = f"{number:016x}"
        if failed:
            report["errorMessage"] = "upstream failed"
        else:
            report["respPayload"] = {
                "id": f"chatcmpl-{pick.getrandbits(96):024x}",
                "object": "chat.completion",
                "model": model,
                "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": tokens[0],
                    "completion_tokens": tokens[1],
                    "total_tokens": sum(tokens),
                    "prompt_tokens_details": {"cached_tokens": 128},
                },
            }
        return report


def fill(store: Store, source: Source, first: int, end: int) -> tuple[float, float]:
    """Insert reports; of the last ones return how many a second, and the CPU seconds of one."""
    spent: deque[float] = deque(maxlen=MEASURED // BLOCK)
    used: deque[float] = deque(maxlen=spent.maxlen)
    for start in range(first, end, BLOCK):
        block = [source.report(number) for number in range(start, min(start + BLOCK, end))]
        in_flight = IN_FLIGHT if start + MEASURED >= end else MAX_BATCH
        began, before = time.perf_counter(), time.process_time()
        waiting: deque[Any] = deque()
        for number, report in enumerate(block, start):
            waiting.append(store.add(report, idempotency_key=f"{hash((number, 1)):x}-{number}"))
            if len(waiting) >= in_flight:
                waiting.popleft().result()
        for one in waiting:
            one.result()
        spent.append((time.perf_counter() - began) / len(block))
        used.append((time.process_time() - before) / len(block))
        if start % 100_000 == 0 and start:
            print(f"    {start:>9,}: {1 / statistics.median(spent):,.0f} inserts/s", flush=True)
    return 1 / statistics.median(spent), statistics.mean(used)


def wait_for_index(store: Store) -> float:
    """Return the seconds until the search index has every report."""
    began = time.perf_counter()
    while store.queries.unindexed():
        time.sleep(0.01)
    return time.perf_counter() - began


def measure(query: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds that a query takes: the median of some runs, and the CPU of it."""
    times, used = [], []
    for _ in range(REPEATS):
        began, before = time.perf_counter(), time.thread_time()
        query()
        times.append((time.perf_counter() - began) * 1_000)
        used.append((time.thread_time() - before) * 1_000)
    return statistics.median(times), statistics.median(used)


def queries(
    store: Store, source: Source, size: int, total: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name each query that is measured."""
    newest = FIRST_MS + (size - 1) * DAYS * DAY_MS // total
    first = FIRST_MS + (size // 2) * DAYS * DAY_MS // total
    day = Filter(since=first, until=first + DAY_MS)
    middle = store.queries.get_report(size // 2)
    assert middle is not None  # noqa: S101 - it was just stored
    filters = {
        "newest page": Filter(),
        "search: cafe refund": Filter(text="cafe refund"),
        "search: two characters": Filter(text="返金"),
        "search: tool argument": Filter(text=f"ord-{size // 500 * 500 - 497}"),
        "search: common words": Filter(text=" ".join(source.common(2))),
        "search and model": Filter(text="lyon", model="gpt-4o"),
        "search that finds nothing": Filter(text="nonesuchword"),
        "model": Filter(model="gpt-4o"),
        "model that none has": Filter(model="none"),
        "status 5xx": Filter(status="5xx"),
        "error": Filter(error=True),
        "label, common": Filter(metadata=(("env", "prod"),)),
        "label, rare": Filter(metadata=(("user", "u-42"),)),
        "two labels and model": Filter(
            metadata=(("env", "test"), ("feature", "feature-9")), model="local-llama"
        ),
        "a past day": day,
        "a past day and model": Filter(since=first, until=first + DAY_MS, model="gpt-4o"),
        "since an hour": Filter(since=newest - 3_600_000),
        "the older half": Filter(until=first),
        "trace": Filter(trace=middle.trace_id or f"{size // 2 // 12:032x}"),
        "min_cost, rare": Filter(min_cost=0.0115),
        "min_ms, rare": Filter(min_ms=12_000),
        "min_ms, common": Filter(min_ms=500),
    }
    for name, wanted in filters.items():
        yield name, lambda wanted=wanted: store.queries.list_reports(wanted)
    yield "one report", lambda: store.queries.get_report(size // 3)
    yield "by completion id", lambda: store.queries.get_report(middle.completion_id or "")
    yield "count of a model", lambda: store.queries.count(Filter(model="gpt-4o"))
    yield "stats of a day", lambda: store.queries.stats(day)
    yield "stats of a day by model", lambda: store.queries.stats(day, by="model", bucket="hour")
    yield "stats of a day by label", lambda: store.queries.stats(day, by="metadata.feature")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--folder", type=Path, help="where to make the file (default: a new one)")
    chosen = parser.parse_args()
    sizes = sorted(chosen.sizes)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "reports.db"
        source = Source(sizes[-1])
        with Store(path) as store:
            store.start()
            done = 0
            for size in sizes:
                began = time.perf_counter()
                rate, used = fill(store, source, done, size)
                behind = wait_for_index(store)
                done = size
                print(f"{size:,} reports, filled in {time.perf_counter() - began:,.0f} s")
                print(f"  {rate:,.0f} inserts/s at the end, {used * 1e6:,.0f} us of CPU each")
                print(f"  the index was {behind:.2f} s behind")
                wal = path.with_name("reports.db-wal").stat().st_size
                print(f"  file {path.stat().st_size / 2**20:,.0f} MiB, -wal {wal / 2**20:,.1f} MiB")
                for name, query in queries(store, source, size, sizes[-1]):
                    median, cpu = measure(query)
                    print(f"  {name:<28} {median:8.1f} ms   ({cpu:.1f} of CPU)", flush=True)


if __name__ == "__main__":
    main()
