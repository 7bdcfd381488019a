"""pydantic-ai, with our client in its provider."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import instrument, metadata

MODELS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
QUESTION = "How is Oslo?"
CHANGING = {"timestamp", "run_id", "conversation_id"}
"""Fields of pydantic-ai's messages that are new in each run."""


class City(BaseModel):
    city: str


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def draft(city: str) -> str:
    """Asks a model itself, from the thread that the library runs tools in."""
    return asyncio.run(make_agent(openpipe_report).run(city)).output


def make_agent(package, model="chat", name=MODEL, **arguments):
    provider = OpenAIProvider(openai_client=package.AsyncOpenAI())
    return Agent(MODELS[model](name, provider=provider), **arguments)


def view(value):
    """Messages as plain values, without what is new in each run."""
    if isinstance(value, dict):
        return {key: view(item) for key, item in value.items() if key not in CHANGING}
    return [view(item) for item in value] if isinstance(value, list) else value


def result_of(result, output):
    return output, view(json.loads(result.all_messages_json())), result.usage


def run_sync(agent):
    result = agent.run_sync(QUESTION)
    return result_of(result, result.output)


def run_async(agent):
    result = run(agent.run(QUESTION))
    return result_of(result, result.output)


def run_stream(agent):
    async def read():
        async with agent.run_stream(QUESTION) as result:
            parts = [part async for part in result.stream_output(debounce_by=None)]
            return result_of(result, parts)

    return run(read())


CALLS = [run_sync, run_async, run_stream]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("tools", [[], [weather]], ids=["text", "tools"])
def test_run(desk, model, call, tools):
    """A run is what it is with openai's client, and each of its requests is reported once."""
    result = desk.check(
        lambda package: call(make_agent(package, model, tools=tools)), requests=1 + len(tools)
    )
    assert desk.model.text in str(result)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("call", CALLS)
def test_structured_output(desk, model, call):
    """So is a run whose output is an object, which pydantic-ai asks for as a tool call."""
    output, *_ = desk.check(lambda package: call(make_agent(package, model, output_type=City)))
    assert City(city="Oslo") == (output[-1] if isinstance(output, list) else output)


@pytest.mark.parametrize("call", CALLS)
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(lambda package: call(make_agent(package)))


def test_labels_reach_calls_in_tools(desk):
    """A sync tool runs in a thread; the calls that it makes have the labels around the run."""
    agent = make_agent(openpipe_report, tools=[draft])
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: agent.run_sync(QUESTION))
    assert len(requests) == 3
    desk.check_reports(requests, reports)


def test_model_by_name(desk):
    """The client of an agent that was made from a model's name can be instrumented."""
    agent = Agent(f"openai-chat:{MODEL}")
    instrument(agent.model.client)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: agent.run_sync(QUESTION))
    desk.check_reports(requests, reports)


def test_labels_of_streams(desk):
    """A streamed run has the labels from around the entering of its `async with`."""
    entered = make_agent(openpipe_report).run_stream(QUESTION)

    async def read():
        with metadata(**LABELS):
            result = await entered.__aenter__()
        with metadata(user="too late"):
            async for _ in result.stream_text():
                pass
        await entered.__aexit__(None, None, None)

    _, requests, reports = desk.observe(lambda: run(read()))
    desk.check_reports(requests, reports)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        settings = {"max_tokens": 16}
        return make_agent(openpipe_report, name=name, model_settings=settings).run_sync("Hi").output

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    assert len(desk.run_page("pydantic-ai", user="u-42")) == 2
