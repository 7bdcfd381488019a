"""litellm's openai provider, given our client."""

from __future__ import annotations

import litellm
import pytest

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import metadata

QUESTION = [{"role": "user", "content": "How is Oslo?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No telemetry, no clients kept from one test to the next."""
    monkeypatch.setattr(litellm, "telemetry", False, raising=False)
    litellm.in_memory_llm_clients_cache.flush_cache()


def completion(package, messages=QUESTION, **arguments):
    client = package.OpenAI()
    return litellm.completion(f"openai/{MODEL}", messages, client=client, **arguments)


def acompletion(package, messages=QUESTION, **arguments):
    client = package.AsyncOpenAI()
    return run(litellm.acompletion(f"openai/{MODEL}", messages, client=client, **arguments))


def stream(package, messages=QUESTION, **arguments):
    return joined(list(completion(package, messages, stream=True, **arguments)))


def astream(package, messages=QUESTION, **arguments):
    async def read():
        client = package.AsyncOpenAI()
        chunks = await litellm.acompletion(
            f"openai/{MODEL}", messages, client=client, stream=True, **arguments
        )
        return [chunk async for chunk in chunks]

    return joined(run(read()))


def joined(chunks):
    return litellm.stream_chunk_builder(chunks)


def view(answer):
    """An answer without what litellm makes up anew of a stream: the time."""
    return answer.model_dump(exclude={"created"})


CALLS = [completion, stream, acompletion, astream]


@pytest.mark.parametrize("call", CALLS)
def test_call(desk, call):
    """A call is what it is with openai's client, and reported once."""
    result = desk.check(lambda package: view(call(package)))
    assert result["choices"][0]["message"]["content"] == desk.model.text


@pytest.mark.parametrize("call", CALLS)
def test_tools(desk, call):
    """So are the two calls of a turn with a tool."""

    def turn(package):
        first = call(package, tools=[WEATHER])
        message = first.choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
        second = call(package, [*QUESTION, message.model_dump(), result], tools=[WEATHER])
        return view(first), view(second)

    first, second = desk.check(turn, requests=2)
    assert first["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert second["choices"][0]["message"]["content"] == desk.model.text


@pytest.mark.parametrize("call", CALLS)
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(call)


def test_own_metadata_is_litellms(desk):
    """litellm keeps `metadata=` for its own callbacks: it reaches neither OpenAI nor a report."""
    with metadata(**LABELS):
        _, requests, reports = desk.observe(
            lambda: completion(openpipe_report, metadata={"step": "one"})
        )
    desk.check_reports(requests, reports)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_labels_of_streams(desk, is_async):
    """A stream has the labels from around the call that starts it."""
    complete = litellm.acompletion if is_async else litellm.completion
    client = openpipe_report.AsyncOpenAI() if is_async else openpipe_report.OpenAI()
    arguments = {"model": f"openai/{MODEL}", "messages": QUESTION, "stream": True}
    assert desk.labels_of_stream(lambda: complete(client=client, **arguments)) == "start"


def batch(client, **arguments):
    return litellm.batch_completion(f"openai/{MODEL}", [QUESTION] * 3, client=client, **arguments)


def test_labels_do_not_reach_batches(desk):
    """`batch_completion()` starts threads that know nothing of the labels around it."""
    client = openpipe_report.OpenAI()
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: batch(client))
    assert len(requests) == 3
    desk.check_reports(requests, reports, {})


def test_labels_of_a_batch(desk):
    """Labels in `extra_body` go with each call of a batch, and not to OpenAI."""
    client = openpipe_report.OpenAI()
    extra = {"openpipe": {"metadata": LABELS}}
    _, requests, reports = desk.observe(lambda: batch(client, extra_body=extra))
    assert len(requests) == 3
    assert not any("openpipe" in request.json() for request in requests)
    desk.check_reports(requests, reports)


def test_responses_go_past_the_client(desk):
    """`litellm.responses()` sends without openai, and so unreported."""
    client = openpipe_report.OpenAI()
    _, requests, reports = desk.observe(
        lambda: litellm.responses(model=f"openai/{MODEL}", input="Hi", client=client)
    )
    assert (len(requests), len(reports)) == (1, 0)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        client = openpipe_report.OpenAI()
        answer = litellm.completion(f"openai/{name}", QUESTION, client=client, max_tokens=16)
        return answer.choices[0].message.content

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    assert len(desk.run_page("litellm", user="u-42")) == 2
