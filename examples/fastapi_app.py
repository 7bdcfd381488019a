"""
A FastAPI application: one client for all requests, each call labelled with its user.

    uvicorn fastapi_app:app --app-dir examples
    curl 'http://127.0.0.1:8000/ask?user=u-42&question=Hi'

Background threads send the reports, so no request waits for them. When the server stops, `aflush()`
delivers the pending reports; the exit of the process would deliver them as well.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request

from openpipe_report import AsyncOpenAI, aflush, metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client when the server starts, and close it when the server stops."""
    async with AsyncOpenAI() as app.state.client:
        yield
    await aflush()


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
async def ask(request: Request, user: str, question: str) -> dict[str, str | None]:
    """Ask the model on behalf of a user."""
    with metadata(user=user, route="/ask"):
        completion = await request.app.state.client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            max_tokens=40,
        )
    return {"answer": completion.choices[0].message.content}
