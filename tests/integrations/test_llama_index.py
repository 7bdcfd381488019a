"""llama-index-llms-openai, given our clients."""

from __future__ import annotations

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI, OpenAIResponses

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import metadata

LLMS = {"chat": OpenAI, "responses": OpenAIResponses}
QUESTION = [ChatMessage(role="user", content="How is Oslo?")]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


WEATHER = FunctionTool.from_defaults(weather)


def make_llm(package, llm="chat", model=MODEL, **arguments):
    clients = {"openai_client": package.OpenAI(), "async_openai_client": package.AsyncOpenAI()}
    return LLMS[llm](model=model, **clients, **arguments)


def chat(llm, messages, tools):
    if tools:
        return llm.chat_with_tools(tools, chat_history=messages)
    return llm.chat(messages)


def stream(llm, messages, tools):
    if tools:
        return list(llm.stream_chat_with_tools(tools, chat_history=messages))[-1]
    return list(llm.stream_chat(messages))[-1]


def achat(llm, messages, tools):
    if tools:
        return run(llm.achat_with_tools(tools, chat_history=messages))
    return run(llm.achat(messages))


def astream(llm, messages, tools):
    async def read():
        if tools:
            chunks = await llm.astream_chat_with_tools(tools, chat_history=messages)
        else:
            chunks = await llm.astream_chat(messages)
        return [chunk async for chunk in chunks][-1]

    return run(read())


CALLS = [chat, stream, achat, astream]


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("call", CALLS)
def test_call(desk, llm, call):
    """A call is what it is with openai's client, and reported once."""
    result = desk.check(lambda package: call(make_llm(package, llm), QUESTION, []).model_dump())
    assert desk.model.text in str(result["message"])


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("call", CALLS)
def test_tools(desk, llm, call):
    """So are the two calls of a turn with a tool."""

    def turn(package):
        made = make_llm(package, llm)
        first = call(made, QUESTION, [WEATHER])
        [wanted] = made.get_tool_calls_from_response(first)
        result = ChatMessage(
            role="tool", content="rain", additional_kwargs={"tool_call_id": wanted.tool_id}
        )
        second = call(made, [*QUESTION, first.message, result], [WEATHER])
        return first.model_dump(), second.model_dump()

    first, second = desk.check(turn, requests=2)
    assert "weather" in str(first["message"])
    assert desk.model.text in str(second["message"])


@pytest.mark.parametrize("call", CALLS)
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(lambda package: call(make_llm(package), QUESTION, []))


def test_labels_reach_agents(desk):
    """An agent's steps are tasks; their calls have the labels around the run."""

    async def ask():
        agent = FunctionAgent(tools=[WEATHER], llm=make_llm(openpipe_report))
        with metadata(**LABELS):
            return await agent.run("How is Oslo?")

    _, requests, reports = desk.observe(lambda: run(ask()))
    assert len(requests) == 2
    desk.check_reports(requests, reports)


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("name", ["stream_chat", "astream_chat"])
def test_labels_of_streams(desk, llm, name):
    """A stream calls when it is read, and has the labels from there."""
    made = make_llm(openpipe_report, llm)
    assert desk.labels_of_stream(lambda: getattr(made, name)(QUESTION)) == "reading"


def test_without_reuse_the_clients_are_its_own(desk):
    """`reuse_client=False` makes it ignore the clients that it was given."""
    llm = make_llm(openpipe_report, reuse_client=False, api_base=desk.openai.base_url)
    _, requests, reports = desk.observe(lambda: llm.chat(QUESTION))
    assert (len(requests), len(reports)) == (1, 0)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        # llama-index takes no name that it does not know
        llm = make_llm(openpipe_report, max_tokens=16, additional_kwargs={"model": name})
        return llm.chat(QUESTION).message.content

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    assert len(desk.run_page("llama-index", user="u-42")) == 2
