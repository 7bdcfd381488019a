"""
The threads that send the reports of one channel.

They take turns: whoever has the turn takes a report, builds it and sends it; when the network keeps
it waiting, it passes the turn on and comes back with the answer. So there are as many threads as
the network keeps waiting, up to `senders`, and one for a server that answers at once: threads that
compute only take the interpreter's lock from each other and from the callers.

They are daemons, and end when there is nothing to do. No thread waits out a backoff: a report
between attempts lies in the queue's heap. At the end of the process, where no thread can be
started, the exiting one does the work.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from weakref import ref

from openpipe_report._delivery import process
from openpipe_report._log import log_internal_error, run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openpipe_report._delivery.queue import NewReport, PendingReport
    from openpipe_report._delivery.sender import Sender

IDLE_SECONDS = 5.0
"""After so many seconds a thread ends for want of work, and its connection is of no more use."""

GATHER_SECONDS = 0.1
"""
Seconds for which reports are gathered that come more often than that; then they are sent one after
the other.

Each hand-over between a thread that computes and a thread that sends costs both of them, because
each finds the other's data in the processor's cache. A lone report is sent at once, and `flush()`
does not wait for more.
"""

_GATHERED = 100
"""With so many reports in the queue, none is waited for any longer."""


class _Here(threading.local):
    delivering = False


_here = _Here()


def is_delivering() -> bool:
    """Whether this is a sender thread; a flush from it would wait for itself."""
    return _here.delivering


@contextmanager
def delivering() -> Generator[None]:
    """Note that this thread delivers while the block runs."""
    outer, _here.delivering = _here.delivering, True
    try:
        yield
    finally:
        _here.delivering = outer


class SenderThreads:
    """
    Takes reports out of the queue and has them processed, on at most `limit` threads.

    Args:
        sender: Has the queue, and advances the reports.
        limit: How many threads there may be.
        owner: Kept alive while a thread runs, so that the exit finds it.
        idle: Seconds after which a thread ends for want of work.
        gather: Seconds for which reports are gathered that come more often than that.
    """

    def __init__(
        self, sender: Sender, limit: int, owner: object, *, idle: float, gather: float
    ) -> None:
        self._sender = sender
        self._queue = sender.queue
        self._budget = sender.budget
        self._limit = limit
        self._owner = ref(owner)
        self._idle, self._gather_for = idle, gather
        self._threads: set[threading.Thread] = set()
        self._turn = threading.Lock()
        """Held by whoever takes, builds and sends; the others wait for it, or for the network."""
        self._next: set[threading.Thread] = set()
        """The threads that wait for the turn."""
        self._tasks: deque[Callable[[], None]] = deque()
        self._worked = self._hurried = float("-inf")
        """When the last report was processed, and `hurry()` was called last (monotonic)."""
        self._gathering = threading.Lock()
        """Held, and waited for, by a thread that gathers reports; `hurry()` releases it."""
        self._starting = threading.Lock()
        """Held while a thread is started; never waited for."""

    def __len__(self) -> int:
        return len(self._threads)

    def enqueue(self, pending: NewReport | PendingReport) -> None:
        """Let the threads have a report: a new one, or one that went through the spool."""
        self._queue.put(pending)
        if self._gathering.locked() and self._queue.length >= _GATHERED:
            self.hurry()
        self.ensure_thread()

    def hurry(self) -> None:
        """Stop gathering: somebody waits for the reports, or there are many of them."""
        self._hurried = time.monotonic()
        with suppress(RuntimeError):  # released already
            self._gathering.release()

    def run_soon(self, task: Callable[[], None]) -> None:
        """Let a thread run a short function that never raises, before its next report."""
        self._tasks.append(task)
        self._queue.wake()
        self.hurry()
        self.ensure_thread()

    def ensure_thread(self) -> None:
        """Start a thread where nobody has the turn or waits for it, if there may be another."""
        # Who puts a report looks for a thread afterwards; a thread that passes the turn on, or
        # waits for it no longer, looks for reports afterwards. So one of them sees the other.
        while not (self._turn.locked() or self._next):
            if not self._starting.acquire(blocking=False):
                return  # somebody does, maybe under a finalizer, and looks again afterwards
            try:
                if not self._start():
                    return
            finally:
                self._starting.release()
            if not self._has_work():
                return

    def _start(self) -> bool:
        # While the interpreter exits, start() would wait for ever for a thread that never runs.
        if sys.is_finalizing() or len(self._threads) >= self._limit:
            return False
        thread = threading.Thread(
            target=self._work, args=(self._owner(),), name="openpipe-report", daemon=True
        )
        self._threads.add(thread)
        self._next.add(thread)
        process.hook_exit()
        try:
            thread.start()
        except RuntimeError:
            self._next.discard(thread)
            self._threads.discard(thread)
            return False
        return True

    def _work(self, _owner: object) -> None:
        me = threading.current_thread()
        _here.delivering = True
        is_wanted = True
        while is_wanted:
            self._next.add(me)
            has_turn = self._turn.acquire(timeout=self._idle)
            self._next.discard(me)
            is_wanted = has_turn and self._take_turn()
        self._threads.discard(me)
        self._find_next()
        run_guarded("closing a connection", self._sender.transport.close_mine)

    def _take_turn(self) -> bool:
        """Process reports for as long as it is this thread's turn; False where there is no work."""
        turn = _Turn(self._turn, self._find_next)
        began = time.monotonic()
        try:
            while turn.is_mine:
                self._run_tasks()
                if self._queue.closed:
                    turn.pass_on()
                    self._sender.drop_waiting()
                    return False
                was_empty = self._queue.is_empty()
                pending = self._queue.take(self._idle, self._sender.retries.not_before)
                if pending is not None:
                    if was_empty:
                        self._gather()
                    self._process(pending, turn)
                    self._worked = time.monotonic()
                elif not self._budget.pending:
                    idle_since = max(began, self._worked)
                    if time.monotonic() - idle_since >= self._idle:
                        return False
                del pending  # a forked child keeps what is in the frames of the parent's threads
        except BaseException:  # noqa: BLE001 - a thread that dies delivers nothing
            log_internal_error("a sending thread")
        finally:
            turn.pass_on()
        return True

    def _gather(self) -> None:
        """Wait for more reports, where they come one soon after the other."""
        if self._queue.closed or time.monotonic() - self._worked >= self._gather_for:
            return
        self._gathering.acquire(blocking=False)
        # Looked at after the lock is held: who hurries either releases it, or is seen here.
        if time.monotonic() - self._hurried >= self._gather_for:
            self._gathering.acquire(timeout=self._gather_for)
        with suppress(RuntimeError):
            self._gathering.release()

    def _process(self, pending: PendingReport, turn: _Turn) -> None:
        self._sender.process(pending, turn.pass_on)
        if self._budget.has_unlogged_drops:
            turn.pass_on()
            self._sender.log_drops()

    def _find_next(self) -> None:
        """See to it that there is somebody for what is left to do."""
        if self._has_work():
            self.ensure_thread()

    def _has_work(self) -> bool:
        # Once closed, what comes is dropped by the thread that its own `enqueue()` starts.
        return not self._queue.closed and (bool(self._tasks) or not self._queue.is_empty())

    def _run_tasks(self) -> None:
        with suppress(IndexError):
            while True:
                self._tasks.popleft()()

    def drain(self, deadline: float) -> None:
        """
        Wait until what is pending was delivered or tried once more, or `deadline` (monotonic).

        Sender threads do the work, because a DNS lookup cannot be interrupted; the calling thread
        sends only if none can be started. A `Retry-After` that ends in time is waited for.
        """
        self._sender.expire_delays()
        self.hurry()
        while self._budget.has_any and (left := deadline - time.monotonic()) > 0:
            if self.all_scheduled_after(deadline):
                break
            self.ensure_thread()
            if self._threads:
                time.sleep(min(left, 0.005))
                continue
            pending = self._queue.take(min(left, 0.02), self._sender.retries.not_before)
            if pending is not None:
                self._sender.process(pending, lambda: None, within=left)
        if not self._threads:
            self._sender.transport.close_mine()

    def all_scheduled_after(self, deadline: float) -> bool:
        """Whether every pending report is scheduled for after the deadline."""
        retries = self._sender.retries
        if time.monotonic() < retries.paused_until < deadline:
            return False
        idle = self._queue.is_idle(retries.not_before())
        # With none in memory, the spool is about to read back what was set aside.
        nothing_else = bool(self._budget.pending) or not self._budget.aside
        return idle and nothing_else and self._budget.pending <= self._queue.waiting


class _Turn:
    """One thread's turn, until it passes it on."""

    __slots__ = ("_find_next", "_lock", "is_mine")

    def __init__(self, lock: threading.Lock, find_next: Callable[[], None]) -> None:
        self._lock = lock
        self._find_next = find_next
        self.is_mine = True

    def pass_on(self) -> None:
        """Let another thread have the turn, if this one still has it."""
        if self.is_mine:
            self.is_mine = False
            self._lock.release()
            self._find_next()
