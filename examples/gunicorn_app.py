"""
A WSGI application for gunicorn, whose workers are forked from a process that has the client.

    gunicorn --preload --workers 4 --chdir examples gunicorn_app:app
    curl http://127.0.0.1:8000/

With `--preload` the client is made before the workers are; each worker reports for itself, with
threads of its own, and delivers what is left when gunicorn ends it. Nothing needs to be set up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report import OpenAI, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

client = OpenAI()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ask the model something, whatever the request."""
    with metadata(route=environ["PATH_INFO"]):
        completion = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say hello."}],
            max_tokens=16,
        )
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [(completion.choices[0].message.content or "").encode()]
