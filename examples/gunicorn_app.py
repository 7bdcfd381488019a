"""
A WSGI application for gunicorn, with a client that is constructed before the workers are forked.

    gunicorn --preload --workers 4 --chdir examples gunicorn_app:app
    curl http://127.0.0.1:8000/

Each worker sends its own reports, with threads of its own, and delivers the pending ones when
gunicorn stops it. No setup is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report import OpenAI, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

client = OpenAI()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer any request with a greeting of the model."""
    with metadata(route=environ["PATH_INFO"]):
        completion = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say hello."}],
            max_tokens=16,
        )
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [(completion.choices[0].message.content or "").encode()]
