"""The processor's time that work takes, for tests of its growth with the size of the input."""

from __future__ import annotations

import time


def fastest(work, *arguments, times=3):
    """The least seconds of this thread that some work has taken, done so many times."""
    taken = []
    for _ in range(times):
        began = time.thread_time()
        work(*arguments)
        taken.append(time.thread_time() - began)
    return min(taken)
