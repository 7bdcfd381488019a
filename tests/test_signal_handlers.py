"""A signal handler may shut down or flush in the midst of any of our own methods."""

from __future__ import annotations

import pytest
from support.backend import Backend, run_script

EVERYWHERE = """
import faulthandler
from pathlib import Path
import openpipe_report
from openpipe_report import OpenAI, flush, shutdown, stats

ROOT = str(Path(openpipe_report.__file__).parent)
HANG_GUARD = 20

def make():
    return Reporter(base_url=sys.argv[1])

def pending():
    "A reporter with work to do."
    reporter = make()
    reporter.submit(Made())
    return reporter

METHODS = {
    "submit": (pending, lambda reporter: reporter.submit(Made())),
    "report": (make, lambda reporter: reporter.report(requestedAt=1)),
    "stats": (pending, lambda reporter: stats()),
    "flush": (pending, lambda reporter: flush(HANG_GUARD)),
    "shutdown": (pending, lambda reporter: shutdown(HANG_GUARD)),
    "a reporter": (pending, lambda reporter: make()),
    "a client": (pending, lambda reporter: OpenAI(api_key="k", openpipe={"base_url": sys.argv[1]})),
}
HANDLERS = [lambda: flush(2 * HANG_GUARD), lambda: shutdown(2 * HANG_GUARD)]

class Signal:
    "Calls a handler at the first line that is reached and was not in `done`, as a signal would."

    def __init__(self, handler):
        self.handler, self.place = handler, None

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if event == "line" and self.place is None and place not in done:
            self.place = place
            done.add(place)
            self.handler()
        return self.trace

def run(handler):
    "One run; returns the line at which the handler was called, None when there is no new one."
    reporter = begin()
    arrived = Signal(handler)
    faulthandler.dump_traceback_later(HANG_GUARD / 2, exit=True)
    sys.settrace(arrived.trace)
    try:
        act(reporter)
    finally:
        sys.settrace(None)
    reporter.shutdown(HANG_GUARD)
    shutdown(HANG_GUARD)
    faulthandler.cancel_dump_traceback_later()
    return arrived.place

reporter.shutdown()
begin, act = METHODS[sys.argv[2]]
for handler in HANDLERS:
    done = set()
    while run(handler):
        pass
    assert len(done) > 3, "the method was traced"
assert (stats().faults, stats().pending) == (0, 0), stats()
"""
METHODS = [
    "submit",
    "report",
    "stats",
    "flush",
    "shutdown",
    "a reporter",
    "a client",
]


@pytest.mark.parametrize("method", METHODS)
def test_at_each_line(method):
    """A handler that flushes or shuts down at any line of ours returns, and so does the method."""
    with Backend() as backend:
        done = run_script(backend.base_url, EVERYWHERE, method)
    assert done.returncode == 0, done.stderr
