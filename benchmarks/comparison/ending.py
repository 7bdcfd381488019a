"""
A script that makes calls and ends, without a flush.

    python -m comparison.ending MODULE SINK CALLS

After the last call it prints the monotonic time, which all processes of a machine share.
"""

from __future__ import annotations

import sys
import time

from comparison import workloads
from comparison.output import claim_stdout
from comparison.tool import set_up
from comparison.worker import make_client


def main() -> None:
    stdout = claim_stdout()
    module, sink, calls = sys.argv[1:]
    client = make_client(set_up(module, sink), stream=False)
    workloads.plain(client, [workloads.asked("plain", number) for number in range(int(calls))])
    print(time.monotonic(), file=stdout, flush=True)


if __name__ == "__main__":
    main()
