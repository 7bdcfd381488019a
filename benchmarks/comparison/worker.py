"""
A variant's process: makes the calls that it is told to, and says what they cost.

    python -m comparison.worker MODULE SINK

Each line on stdin is a command, `{"workload": str, "calls": int}`; each is answered by a line of
`Cost` on stdout. What the tools themselves print goes to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from functools import cached_property
from typing import Any

from comparison import workloads
from comparison.output import claim_stdout
from comparison.tool import Tool, set_up
from comparison.upstream import AsyncUpstream, Upstream, http

FLUSH_EVERY = 400
"""Calls after which the memory workload flushes: a backlog is not what it measures."""


def resident_kb() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - cheap, and often
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024


def make_client(tool: Tool, *, stream: bool) -> Any:
    transport = tool.wrap(Upstream(stream=stream))
    return tool.client(
        api_key="none",
        base_url="http://upstream.invalid/v1",
        http_client=http.Client(transport=transport),
    )


class Session:
    """The clients of one process, which number their calls."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._number = 0
        self._loop = asyncio.new_event_loop()

    @cached_property
    def _plain(self) -> Any:
        return make_client(self._tool, stream=False)

    @cached_property
    def _stream(self) -> Any:
        return make_client(self._tool, stream=True)

    @cached_property
    def _async(self) -> Any:
        async def make() -> Any:
            return self._tool.async_client(
                api_key="none",
                base_url="http://upstream.invalid/v1",
                http_client=http.AsyncClient(transport=AsyncUpstream(workloads.LATENCY)),
            )

        # Some tools set up something in the loop that runs.
        return self._loop.run_until_complete(make())

    def run(self, workload: str, calls: int) -> dict[str, float]:
        """Make the calls of a workload, flush, and return what it cost."""
        if workload == "memory":
            return self._grow(calls)
        asked = [workloads.asked(workload, self._next()) for _ in range(calls)]
        client = (
            self._async
            if workload == "concurrent"
            else (self._stream if workload == "stream" else self._plain)
        )
        more: dict[str, float] = {}
        gc.collect()
        cpu, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()
        if workload == "concurrent":
            taken = sorted(self._loop.run_until_complete(workloads.concurrent(client, asked)))
            more = {"p99": taken[len(taken) * 99 // 100], "p50": taken[len(taken) // 2]}
        elif workload == "stream":
            workloads.stream(client, asked)
        elif workload == "computing":
            workloads.computing(client, asked)
        else:
            workloads.plain(client, asked)
        thread, wall = time.thread_time() - thread, time.perf_counter() - wall
        self._tool.flush()
        cpu = time.process_time() - cpu
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"cpu": cpu, "thread": thread, "wall": wall, "max_rss_kb": rss, **more}

    def _grow(self, calls: int) -> dict[str, float]:
        client = self._plain
        for first in range(0, calls, FLUSH_EVERY):
            for _ in range(min(FLUSH_EVERY, calls - first)):
                workloads.plain(client, [workloads.asked("plain", self._next())])
            self._tool.flush()
        gc.collect()
        return {"rss_kb": resident_kb()}

    def _next(self) -> int:
        self._number += 1
        return self._number


def main() -> None:
    stdout = claim_stdout()
    session = Session(set_up(*sys.argv[1:]))
    for line in sys.stdin:
        print(json.dumps(session.run(**json.loads(line))), file=stdout, flush=True)
    # The way a tool ends is measured by comparison.exits, with a program of its own.
    os._exit(0)


if __name__ == "__main__":
    main()
