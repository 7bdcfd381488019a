"""Run by scripts/check_wheel.py where only the wheel is installed: report a call over HTTP."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openpipe_report
from openpipe_report.types.chat import ChatCompletion

received = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/v1/report":
            received.append(body)
            answer = {"status": "ok"}
        else:
            answer = {"id": "c", "object": "chat.completion", "choices": []}
        encoded = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *args):
        pass


for name in sys.argv[1:]:
    assert importlib.util.find_spec(name) is None, f"{name} is no dependency of the core"
assert "site-packages" in openpipe_report.__file__
installed = Path(openpipe_report.__file__).parent
assert all((installed / name).is_file() for name in ("py.typed", "types/chat/__init__.pyi"))

with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    with openpipe_report.OpenAI(
        api_key="sk-test", base_url=f"{root}/v1", openpipe={"base_url": f"{root}/api/v1"}
    ) as client:
        answer = client.chat.completions.create(model="m", messages=[])
    assert isinstance(answer, ChatCompletion)
    assert openpipe_report.shutdown(30)
    server.shutdown()

[report] = received
assert report["reqPayload"] == {"messages": [], "model": "m"}
assert report["respPayload"]["id"] == "c"

command = subprocess.run(
    [sys.executable, "-m", "openpipe_report"], capture_output=True, text=True, check=False
)
assert command.returncode == 1
assert command.stdout == ""
assert command.stderr == ("the command line needs an extra: pip install 'openpipe-report[cli]'\n")
