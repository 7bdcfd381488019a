"""
What a program pays before its first call, in milliseconds of CPU.

    python -m comparison.imports MODULE SINK

Prints one line: `{"imports": float, "ready": float}`. `imports` are the tool's own imports after
`import openai, httpx`; `ready` has its set-up and the first client besides.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from importlib.util import find_spec

from comparison.output import claim_stdout


def main() -> None:
    stdout = claim_stdout()
    module, sink = sys.argv[1:]
    tool = import_module(f"comparison.tools.{module}")
    # logfire's plugin of pydantic would be imported with openai, and would not be counted.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    import_module("openai")
    if find_spec("httpx"):
        import_module("httpx")
    del os.environ["PYDANTIC_DISABLE_PLUGINS"]

    begin = time.process_time()
    for name in tool.IMPORTS:
        import_module(name)
    imported = time.process_time()
    tool.set_up(sink).client(api_key="none")
    ready = time.process_time()
    taken = {"imports": (imported - begin) * 1000, "ready": (ready - begin) * 1000}
    print(json.dumps(taken), file=stdout, flush=True)


if __name__ == "__main__":
    main()
