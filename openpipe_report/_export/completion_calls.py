"""Prompt and answer of legacy completions: the prompt becomes the message of a user."""

from __future__ import annotations

from openpipe_report._export.chat_calls import first_choice
from openpipe_report._export.prompt import Prompt
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import Json, need_text


def read_prompt(request: Json) -> Prompt:
    """Return what was asked; several prompts, token ids and a suffix are not supported."""
    prompt = request.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, list) or request.get("suffix") or request.get("echo"):
        raise LeftOutError(Reason.UNSUPPORTED)
    return Prompt([{"role": "user", "content": need_text(prompt)}])


def read_answer(response: Json) -> Json:
    """Return the text of the first choice, if it is whole."""
    text = need_text(first_choice(response).get("text"))
    if not text:
        raise LeftOutError(Reason.NO_ANSWER)
    return {"role": "assistant", "content": text}
