"""
A chat page with thumbs: what users think of an answer becomes labels of its report.

    uvicorn feedback_app:app --app-dir examples
    # open http://127.0.0.1:8000, ask, and press a thumb; once more takes it back
    openpipe-report logs    # feedback=down comment=...

The page gets the id of each answer and sends it back with the verdict. An application that has
accounts checks here whose answer it is.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, StringConstraints

from openpipe_report import AsyncOpenAI, aflush, feedback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  form, .judge { display: flex; gap: .5rem }
  input { flex: 1; min-width: 0; font: inherit; padding: .25rem .5rem }
  button { font: inherit; cursor: pointer }
  button[aria-pressed=true] { outline: 2px solid }
  p { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>Chat</h1>
<form id="ask">
  <input name="question" aria-label="Your question" required maxlength="4000" autofocus>
  <button>Ask</button>
</form>
<main id="answers" aria-live="polite"></main>
<template>
  <p></p>
  <div class="judge">
    <button value="up" aria-pressed="false" aria-label="Good answer">&#128077;</button>
    <button value="down" aria-pressed="false" aria-label="Bad answer">&#128078;</button>
    <input aria-label="What is wrong?" placeholder="What is wrong?" maxlength="2000" hidden>
  </div>
</template>
<script>
  const post = async (path, body) => {
    const headers = {"Content-Type": "application/json"}
    const answer = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)})
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`)
    return answer.json()
  }
  const show = ({id, answer}) => {
    const part = document.querySelector("template").content.cloneNode(true)
    const buttons = [...part.querySelectorAll("button")], comment = part.querySelector("input")
    part.querySelector("p").textContent = answer
    const judge = async (verdict) => {
      buttons.forEach(one => one.setAttribute("aria-pressed", one.value === verdict))
      comment.hidden = verdict !== "down"
      await post("/feedback", {id, verdict, comment: verdict === "down" && comment.value || null})
    }
    buttons.forEach(one => one.onclick = () =>
      judge(one.getAttribute("aria-pressed") === "true" ? null : one.value))
    comment.onchange = () => judge("down")
    document.querySelector("#answers").prepend(part)
  }
  document.querySelector("#ask").onsubmit = async (event) => {
    event.preventDefault()
    const question = new FormData(event.target).get("question")
    event.target.reset()
    try { show(await post("/chat", {question})) } catch (error) { alert(error.message) }
  }
</script>
</html>
"""


class Question(BaseModel):
    """What the page asks."""

    question: Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Judgement(BaseModel):
    """What the page says of an answer; None takes it back."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    verdict: Literal["up", "down"] | None
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client when the server starts; deliver what is pending when it stops."""
    async with AsyncOpenAI() as app.state.client:
        yield
    await aflush()


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    """Return the page."""
    return PAGE


@app.post("/chat")
async def chat(request: Request, asked: Question) -> dict[str, str | None]:
    """Ask the model; the page keeps the id for its thumbs."""
    completion = await request.app.state.client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": asked.question}],
        max_tokens=200,
    )
    return {"id": completion.id, "answer": completion.choices[0].message.content}


@app.post("/feedback")
async def judge(judgement: Judgement) -> dict[str, bool]:
    """Label the report of the answer. This waits for nothing: it is sent in the background."""
    is_queued = feedback(judgement.id, judgement.verdict, comment=judgement.comment)
    return {"queued": is_queued}
