"""
Make pictures of the receiver's pages: those of the README, and all main views.

    python scripts/screenshots.py [FOLDER]

A receiver is filled with a day of made-up calls, of an assistant that answers questions about
orders, and photographed in Chromium. Without FOLDER the pictures of the README are made anew.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from playwright.sync_api import sync_playwright

from openpipe_report.server.app import create_app
from openpipe_report.server.http import serving
from openpipe_report.server.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 800}
OF_README = {
    "list": ("/", "light", WIDE),
    "charts": ("/charts", "light", {"width": 1280, "height": 1010}),
}
ALL = {
    **OF_README,
    "list-dark": ("/", "dark", WIDE),
    "list-phone": ("/", "light", PHONE),
    "report": ("/reports/{tool}", "light", WIDE),
    "report-dark": ("/reports/{tool}", "dark", WIDE),
    "trace": ("/traces/{trace}", "light", WIDE),
    "charts-dark": ("/charts?by=metadata.team", "dark", WIDE),
    "chart-phone": ("/charts/cost", "light", PHONE),
    "compare": ("/compare?a={first}&b={second}", "light", WIDE),
    "judge": ("/judge", "light", WIDE),
    "judge-phone": ("/judge", "dark", PHONE),
    "export": ("/export?format=openai-chat", "light", WIDE),
}
COLOURS = 256
HOUR = 3_600_000.0
CALLS = 400
chance = random.Random(8)  # noqa: S311 - the same pictures each time

MODELS = {"gpt-5-mini": 6, "gpt-5": 3, "gpt-4o-mini": 3, "claude-sonnet-4-5": 2}
QUESTIONS = (
    ("Where is order {n}?", "Order {n} left our warehouse on Tuesday and arrives **tomorrow**."),
    (
        "Can I still return the shoes of order {n}?",
        "Yes. You have 30 days:\n\n1. open order {n},\n2. choose *Return*,\n3. print the label.",
    ),
    ("I was charged twice for order {n}.", "You were charged once; the other amount was released."),
    (
        "Change the address of order {n} to Lisbon, please.",
        "Done: order {n} now goes to Lisbon. You will get a new delivery date by mail.",
    ),
    ("¿Cuándo llega el pedido {n}?", "El pedido {n} llega **mañana** entre las 9 y las 12."),
    (
        "Write a SQL query for late orders.",
        "```sql\nSELECT id FROM orders\nWHERE due < now();\n```",
    ),
)
SECOND_ANSWER = (
    "Yes, you have 14 days:\n\n1. open order 4079,\n2. choose *Return*,\n3. send it to us."
)
SYSTEM = {"role": "system", "content": "You help customers of a shop. Answer in their language."}
TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Find an order by its number.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
    },
}


def main() -> None:
    """Make the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    wanted = ALL if len(sys.argv) > 1 else OF_README
    folder.mkdir(parents=True, exist_ok=True)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("there is no Chromium: run `make browser`")
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "reports.db") as store:
        ids = fill(store)
        with serving(create_app(store)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            for view, (path, scheme, viewport) in wanted.items():
                address = url.removesuffix("/api/v1") + path.format(**ids)
                picture = photograph(browser, address, scheme, viewport)
                (folder / f"{view}.png").write_bytes(picture)
                sys.stdout.write(f"{folder / view}.png: {len(picture) / 1024:.0f} KB\n")
            browser.close()


def photograph(browser: Browser, url: str, scheme: Any, viewport: Any) -> bytes:
    """Return a picture of a page as a small PNG."""
    context = browser.new_context(color_scheme=scheme, viewport=viewport, locale="en-GB")
    page = context.new_page()
    answer = page.goto(url)
    if answer is None or not answer.ok:
        sys.exit(f"{url} cannot be shown: {answer and answer.status}")
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    picture = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    small = io.BytesIO()
    picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def fill(store: Store) -> dict[str, str]:
    """Store a day of calls; return what the paths of the views need."""
    now = time.time() * 1_000
    for number in range(CALLS):
        store.add(make_call(number, now - 24 * HOUR * (1 - number / CALLS) ** 1.3)).result()
    for report in make_trace(now - 20_000):
        store.add(report).result()
    first, second = make_call(79, now - 9_000, "gpt-5"), make_call(79, now - 6_000, "gpt-5-mini")
    second["respPayload"]["choices"][0]["message"]["content"] = SECOND_ANSWER
    for report in (first, second):
        store.add(report).result()
    newest = store.queries.newest_id()
    for verdict, report_id in (("up", newest), ("down", newest - 6), ("up", newest - 8)):
        this: Any = {"field": "reportId", "equals": report_id}
        store.update_metadata([this], {"feedback": verdict}).result()
    return {
        "first": str(newest - 1),
        "second": str(newest),
        "tool": str(newest - 3),
        "trace": "7f3a9c",
    }


def make_call(number: int, at: float, model: str | None = None) -> dict[str, Any]:
    """Return the report of one call."""
    model = model or chance.choices(list(MODELS), list(MODELS.values()))[0]
    asked, answered = QUESTIONS[number % len(QUESTIONS)]
    duration = chance.lognormvariate(7.2 if model == "gpt-5" else 6.6, 0.5)
    order = 4_000 + number
    report = {
        "requestedAt": at,
        "receivedAt": at + duration,
        "statusCode": 200,
        "reqPayload": {
            "model": model,
            "messages": [SYSTEM, {"role": "user", "content": asked.format(n=order)}],
            "temperature": chance.choice([0, 0.3]),
            "stream": number % 3 == 0,
            "metadata": {
                "user": f"u-{chance.randrange(40)}",
                "team": chance.choice(["orders", "returns", "billing"]),
            },
        },
        "tags": {"$endpoint": "chat/completions", "$time_to_first_byte_ms": duration / 4},
    }
    if chance.random() < 0.04:  # noqa: PLR2004
        error = {"message": "Rate limit reached for requests per minute", "type": "requests"}
        return {
            **report,
            "statusCode": 429,
            "errorMessage": error["message"],
            "respPayload": {"error": error},
        }
    return {**report, "respPayload": make_answer(number, model, answered.format(n=order))}


def make_answer(number: int, model: str, text: str, tool_calls: Any = None) -> dict[str, Any]:
    """Return the payload of an answer."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if tool_calls:
        message["tool_calls"] = tool_calls
    prompt, completion = chance.randrange(180, 1_900), chance.randrange(20, 420)
    return {
        "id": f"chatcmpl-{number:06d}",
        "object": "chat.completion",
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if tool_calls else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def make_trace(at: float) -> list[dict[str, Any]]:
    """Return the reports of a span with two calls in it, the second of which has used a tool."""
    trace = {"$trace_id": "7f3a9c", "$parent_span_id": "1"}
    question = {"role": "user", "content": "Where is order 4711, and when will it be here?"}
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "find_order", "arguments": '{"number": 4711}'},
    }
    result = {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": '{"state": "shipped", "due": "2026-12-01", "carrier": "DHL"}',
    }
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    text = "Order 4711 is **on its way** with DHL and arrives on *1 December*."

    def report(offset: float, duration: float, **parts: Any) -> dict[str, Any]:
        tags = {**trace, **parts.pop("tags")}
        begin = at + offset
        return {
            "requestedAt": begin,
            "receivedAt": begin + duration,
            "statusCode": 200,
            **parts,
            "tags": {"$time_to_first_byte_ms": duration / 3, **tags},
        }

    labels = {"user": "u-7", "team": "orders"}
    asked = {"model": "gpt-5", "tools": [TOOL], "temperature": 0, "metadata": labels}
    chat = {"$endpoint": "chat/completions"}
    return [
        report(
            40,
            900,
            reqPayload={**asked, "messages": [SYSTEM, question]},
            respPayload=make_answer(9_001, "gpt-5", "", [call]),
            tags={**chat, "$span_id": "2"},
        ),
        report(
            1_300,
            1_700,
            reqPayload={**asked, "messages": [SYSTEM, question, said, result]},
            respPayload=make_answer(9_002, "gpt-5", text),
            tags={**chat, "$span_id": "3"},
        ),
        report(
            0,
            3_100,
            reqPayload={"name": "answer_customer", "question": question["content"]},
            respPayload={"answer": text},
            tags={"$endpoint": "span", "$span_id": "1", "$parent_span_id": None},
        ),
    ]


if __name__ == "__main__":
    main()
