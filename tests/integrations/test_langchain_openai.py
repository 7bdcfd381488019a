"""langchain-openai makes its clients itself: instrument() makes them report."""

from __future__ import annotations

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import instrument, metadata

APIS = {"chat": {}, "responses": {"use_responses_api": True}}
QUESTION = "How is Oslo?"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def make_llm(package, model=MODEL, **arguments):
    llm = ChatOpenAI(model=model, **arguments)
    if package is not openai:
        instrument(llm.root_client)
        instrument(llm.root_async_client)
    return llm


def invoke(llm, messages):
    return llm.invoke(messages)


def stream(llm, messages):
    return joined(list(llm.stream(messages)))


def ainvoke(llm, messages):
    return run(llm.ainvoke(messages))


def astream(llm, messages):
    async def read():
        return [chunk async for chunk in llm.astream(messages)]

    return joined(run(read()))


def joined(chunks):
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def view(message):
    """A message without the id of the run: langchain's own, and random."""
    return message.model_dump(exclude={"id"})


CALLS = [invoke, stream, ainvoke, astream]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("call", CALLS)
def test_call(desk, api, call):
    """A call is what it is with openai's client, and reported once."""
    result = desk.check(lambda package: view(call(make_llm(package, **APIS[api]), QUESTION)))
    assert desk.model.text in str(result["content"])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("call", CALLS)
def test_tools(desk, api, call):
    """So are the two calls of a turn with a tool."""

    def turn(package):
        llm = make_llm(package, **APIS[api]).bind_tools([weather])
        asked = call(llm, [HumanMessage(QUESTION)])
        [wanted] = asked.tool_calls
        result = ToolMessage(weather.invoke(wanted["args"]), tool_call_id=wanted["id"])
        # the id that langchain gives the message travels with it
        answered = asked.model_copy(update={"id": "msg"})
        return view(asked), view(call(llm, [HumanMessage(QUESTION), answered, result]))

    first, second = desk.check(turn, requests=2)
    assert first["tool_calls"][0]["args"] == {"city": "Oslo"}
    assert desk.model.text in str(second["content"])


@pytest.mark.parametrize("call", CALLS)
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(lambda package: call(make_llm(package), QUESTION))


class City(BaseModel):
    city: str


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("call", [invoke, ainvoke])
def test_structured_output(desk, api, call):
    """So is a call with a schema, which langchain sends by way of `parse()`."""
    desk.model.text = '{"city":"Oslo"}'
    made = desk.check(
        lambda package: call(
            make_llm(package, **APIS[api]).with_structured_output(City, method="json_schema"),
            QUESTION,
        )
    )
    assert made == City(city="Oslo")


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_labels_reach_batches(desk, how):
    """A batch runs in a pool of threads, or as tasks; its calls have the labels around it."""

    def batch(package):
        llm = make_llm(package)
        made = llm.batch(["a"] * 4) if how == "batch" else run(llm.abatch(["a"] * 4))
        return [view(message) for message in made]

    desk.check(batch, requests=4)


def test_labels_reach_sync_steps_of_async_chains(desk):
    """A sync step of an async chain runs in a thread, with the labels around the chain."""
    llm = make_llm(openpipe_report)

    def ask(question):
        return llm.invoke(question)

    chain = RunnableLambda(ask)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: run(chain.ainvoke(QUESTION)))
    desk.check_reports(requests, reports)


@pytest.mark.parametrize("name", ["stream", "astream"])
def test_labels_of_streams(desk, name):
    """A stream calls when it is read, and has the labels from there."""
    llm = make_llm(openpipe_report)
    assert desk.labels_of_stream(lambda: getattr(llm, name)(QUESTION)) == "reading"


def test_metadata_of_langchain(desk):
    """langchain's own metadata is for its callbacks."""
    config = {"metadata": {"step": "one"}}
    llm = make_llm(openpipe_report)
    _, requests, reports = desk.observe(lambda: llm.invoke(QUESTION, config=config))
    desk.check_reports(requests, reports, {})


def test_each_client_on_its_own(desk):
    """Of two clients, only the one that was instrumented reports."""
    llm = ChatOpenAI(model=MODEL)
    instrument(llm.root_client)
    llm.invoke(QUESTION)
    _, requests, reports = desk.observe(lambda: run(llm.ainvoke(QUESTION)))
    assert (len(requests), len(reports)) == (1, 1)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        return make_llm(openpipe_report, name, max_completion_tokens=16).invoke(QUESTION).content

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    assert len(desk.run_page("langchain-openai", user="u-42")) == 2
