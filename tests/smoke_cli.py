"""Run by scripts/check_wheel.py where the wheel is installed with the extra `cli`: its commands."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import openpipe_report

COMMAND = Path(sys.executable).with_name("openpipe-report")
PROGRAM = """
import sys
from openpipe_report import Reporter
reporter = Reporter(base_url="http://127.0.0.1:9", spool=sys.argv[1])
reporter.report(reqPayload={"model": "m"}, respPayload={})
reporter.shutdown(1)
"""
WITHOUT_OURS = {name: value for name, value in os.environ.items() if "OPENPIPE" not in name}


def run(*arguments):
    done = subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, check=False, env=WITHOUT_OURS
    )
    return done.returncode, done.stdout, done.stderr


for name in sys.argv[1:]:
    assert importlib.util.find_spec(name) is None, f"{name} is no dependency of the extra cli"
assert "site-packages" in openpipe_report.__file__

assert run("--version") == (0, f"openpipe-report {openpipe_report.__version__}\n", "")
status, printed, errors = run("--help")
assert (status, errors) == (0, "")
assert all(name in printed for name in ("serve", "logs", "show", "resend", "doctor"))

status, printed, errors = run("doctor", "--base-url", "http://127.0.0.1:9")
assert (status, errors) == (0, "")
assert "Reporting is on, to http://127.0.0.1:9/report" in printed
status, printed, errors = run("doctor", "--send", "--base-url", "http://127.0.0.1:9")
assert status == 1
assert "was not delivered" in printed

spool = Path("spool")
subprocess.run([sys.executable, "-c", PROGRAM, spool], check=True, env=WITHOUT_OURS)
assert len(list(spool.glob("reports-*.spool"))) == 1
status, printed, errors = run("resend", "--spool", str(spool), "--base-url", "http://127.0.0.1:9")
assert (status, "Traceback" in errors) == (1, False), errors
assert "Still to be delivered: 1" in printed, printed

needs_server = "this command needs an extra: pip install 'openpipe-report[server]'\n"
for arguments in (["serve"], ["logs"], ["show", "1"], ["stats"]):
    assert run(*arguments) == (1, "", needs_server), arguments
