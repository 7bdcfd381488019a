"""Prompt and answer of chat completions."""

from __future__ import annotations

from openpipe_report._export.messages import clean_function, clean_message, clean_tools
from openpipe_report._export.messages import clean_messages as read_messages
from openpipe_report._export.prompt import Prompt
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import Json, need_list, need_object
from openpipe_report._report.json_values import get_list, get_object

_CUT = {"length", "max_tokens", "model_length"}
_FILTERED = {"content_filter", "safety", "recitation", "refusal"}


def read_prompt(request: Json) -> Prompt:
    """Return what was asked."""
    parallel = request.get("parallel_tool_calls")
    response_format = get_object(request.get("response_format"))
    functions = request.get("functions")
    return Prompt(
        messages=read_messages(request.get("messages")),
        tools=clean_tools(request.get("tools")),
        functions=[clean_function(need_object(one)) for one in get_list(functions)],
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        response_format=None if response_format.get("type") == "text" else response_format or None,
    )


def read_answer(response: Json) -> Json:
    """Return the message of the first choice, if it is whole."""
    choice = first_choice(response)
    message = get_object(choice.get("message"))
    if message.get("refusal"):
        raise LeftOutError(Reason.REFUSED)
    answer = clean_message({"role": "assistant", **message})
    if answer["role"] != "assistant":
        raise LeftOutError(Reason.UNREADABLE)
    if not answer.keys() & {"tool_calls", "function_call"} and not answer.get("content"):
        raise LeftOutError(Reason.NO_ANSWER)
    return answer


def first_choice(response: Json) -> Json:
    """Return the first choice of an answer, if it was not ended early."""
    choices = need_list(response.get("choices"))
    if not choices:
        raise LeftOutError(Reason.NO_ANSWER)
    choice = need_object(choices[0])
    check_finish_reason(choice.get("finish_reason"))
    return choice


def check_finish_reason(reason: object) -> None:
    """Leave a report out whose answer was ended early."""
    if not isinstance(reason, str) or not reason:
        raise LeftOutError(Reason.UNFINISHED)
    if reason.lower() in _CUT:
        raise LeftOutError(Reason.CUT)
    if reason.lower() in _FILTERED:
        raise LeftOutError(Reason.REFUSED)
    if reason.lower() == "error":
        raise LeftOutError(Reason.FAILED)
