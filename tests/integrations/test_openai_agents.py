"""openai-agents, given our client."""

from __future__ import annotations

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import OpenAI, metadata

set_tracing_disabled(disabled=True)  # traces go to OpenAI, by way of no client of ours

MODELS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@function_tool
def draft(city: str) -> str:
    """Asks a model itself, from the thread that the library runs tools in."""
    return OpenAI().responses.create(model=MODEL, input=city).output_text


def items_of(result):
    """What a run made: the new items, and the raw answers with their usage."""
    items = [item.to_input_item() for item in result.new_items]
    return result.final_output, items, [answer.usage for answer in result.raw_responses]


def make_agent(model, tools=(), name=MODEL, **settings):
    made = MODELS[model](name, openai_client=settings.pop("package").AsyncOpenAI())
    return Agent(name="a", model=made, tools=list(tools), model_settings=ModelSettings(**settings))


def call_sync(agent):
    return items_of(Runner.run_sync(agent, "How is Oslo?"))


def call_async(agent):
    return items_of(run(Runner.run(agent, "How is Oslo?")))


def call_streamed(agent):
    async def read():
        result = Runner.run_streamed(agent, "How is Oslo?")
        events = [event async for event in result.stream_events()]
        return items_of(result), [event.type for event in events]

    return run(read())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("call", [call_sync, call_async, call_streamed])
@pytest.mark.parametrize("tools", [[], [weather]], ids=["text", "tools"])
def test_run(desk, model, call, tools):
    """A run is what it is with openai's client, and each of its requests is reported once."""
    result = desk.check(
        lambda package: call(make_agent(model, tools, package=package)), requests=1 + len(tools)
    )
    assert desk.model.text in str(result)


@pytest.mark.parametrize("call", [call_sync, call_async, call_streamed])
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(lambda package: call(make_agent("chat", package=package)))


def test_labels_around_a_streamed_run(desk):
    """A streamed run has the labels from around its start, not from around its reading."""

    async def read():
        with metadata(**LABELS):
            result = Runner.run_streamed(make_agent("responses", package=openpipe_report), "Hi")
        with metadata(user="too late"):
            async for _ in result.stream_events():
                pass

    _, requests, reports = desk.observe(lambda: run(read()))
    desk.check_reports(requests, reports)


def test_labels_reach_calls_in_tools(desk):
    """A tool runs in a thread of the library's; the calls that it makes have the labels, too."""
    agent = make_agent("chat", [draft], package=openpipe_report)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: call_sync(agent))
    assert len(requests) == 3
    desk.check_reports(requests, reports)


def test_default_client(desk):
    """Our client as the library's default reports for agents that name a model only."""
    set_default_openai_client(openpipe_report.AsyncOpenAI(), use_for_tracing=False)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: call_sync(Agent(name="a", model=MODEL)))
    desk.check_reports(requests, reports)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        agent = make_agent("chat", name=name, max_tokens=16, package=openpipe_report)
        return call_sync(agent)[0]

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    desk.run_page("openai-agents", user="u-42")
