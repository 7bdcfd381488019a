"""dspy on litellm's openai provider, with our classes in it."""

from __future__ import annotations

import dspy
import litellm
import openai
import pytest
from litellm.llms.openai import openai as provider

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import metadata

ANSWER = "[[ ## answer ## ]]\nrain in Oslo\n\n[[ ## completed ## ]]"
TOOL = {
    "next_thought": "Ask.",
    "next_tool_name": "weather",
    "next_tool_args": '{"city": "Oslo"}',
}


@pytest.fixture(autouse=True)
def no_caches(monkeypatch, desk):
    """No answer and no client outlives its test; litellm gets its own classes back."""
    monkeypatch.setattr(provider, "OpenAI", openai.OpenAI)
    monkeypatch.setattr(provider, "AsyncOpenAI", openai.AsyncOpenAI)
    litellm.in_memory_llm_clients_cache.flush_cache()
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    desk.model.text = ANSWER


def make_lm(package, model=MODEL, **arguments):
    provider.OpenAI, provider.AsyncOpenAI = package.OpenAI, package.AsyncOpenAI
    litellm.in_memory_llm_clients_cache.flush_cache()
    return dspy.LM(f"openai/{model}", engine="litellm", **arguments)


def predict(package):
    with dspy.context(lm=make_lm(package)):
        return dspy.Predict("question -> answer")(question="How is Oslo?").toDict()


def apredict(package):
    with dspy.context(lm=make_lm(package)):
        ask = dspy.Predict("question -> answer")
        return run(ask.acall(question="How is Oslo?")).toDict()


def stream(package):
    async def read():
        with dspy.context(lm=make_lm(package)):
            listeners = [dspy.streaming.StreamListener(signature_field_name="answer")]
            ask = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=listeners)
            return [item async for item in ask(question="How is Oslo?")]

    *parts, last = run(read())
    return [part.chunk for part in parts], last.toDict()


@pytest.mark.parametrize("call", [predict, apredict, stream])
def test_call(desk, call):
    """A call is what it is with openai's client, and reported once."""
    assert "rain in Oslo" in str(desk.check(call))


@pytest.mark.parametrize("call", [predict, apredict, stream])
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(call)


@pytest.mark.parametrize("call", ["sync", "async"])
def test_tools(desk, call):
    """dspy asks for tools in its own words: each step of a ReAct is a call, and a report."""

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    def react(package):
        with dspy.context(lm=make_lm(package)):
            ask = dspy.ReAct("question -> answer", tools=[weather], max_iters=1)
            if call == "sync":
                return ask(question="How is Oslo?").toDict()
            return run(ask.acall(question="How is Oslo?")).toDict()

    steps = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in TOOL.items())
    desk.model.text = steps + "[[ ## reasoning ## ]]\nIt does.\n\n" + ANSWER
    result = desk.check(react, requests=2)
    assert result["trajectory"]["observation_0"] == "rain in Oslo"


def test_labels_of_streams(desk):
    """What `streamify()` gives calls when it is read, and has the labels from there."""
    with dspy.context(lm=make_lm(openpipe_report)):
        ask = dspy.streamify(dspy.Predict("question -> answer"))
        assert desk.labels_of_stream(lambda: ask(question="How is Oslo?")) == "reading"


def in_parallel(lm):
    ask = dspy.Predict("question -> answer")
    pairs = [(ask, dspy.Example(question=str(n)).with_inputs("question")) for n in range(3)]
    with dspy.context(lm=lm):
        return dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)


def test_labels_do_not_reach_parallel_calls(desk):
    """`dspy.Parallel` starts threads that know nothing of the labels around it."""
    lm = make_lm(openpipe_report)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(lambda: in_parallel(lm))
    assert len(requests) == 3
    desk.check_reports(requests, reports, {})


def test_labels_of_parallel_calls(desk):
    """Labels that the LM was given go with each of its calls, and not to OpenAI."""
    lm = make_lm(openpipe_report, extra_body={"openpipe": {"metadata": LABELS}})
    _, requests, reports = desk.observe(lambda: in_parallel(lm))
    assert len(requests) == 3
    assert not any("openpipe" in request.json() for request in requests)
    desk.check_reports(requests, reports)


def test_what_dspy_remembers_is_no_call(desk):
    """An answer from dspy's cache is neither sent nor reported."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.cache.reset_memory_cache()
    _, requests, reports = desk.observe(lambda: [predict(openpipe_report) for _ in range(2)])
    assert (len(requests), len(reports)) == (1, 1)


def test_the_engine_matters(desk):
    """dspy's own engine sends without openai, and so unreported."""
    lm = make_lm(openpipe_report).copy(engine="lm15", api_base=desk.openai.base_url)
    _, requests, reports = desk.observe(lambda: lm("How is Oslo?"))
    assert (len(requests), len(reports)) == (1, 0)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask(name):
        [text] = make_lm(openpipe_report, name, max_tokens=16)("How is Oslo?")
        return text

    desk.check_real(local_model, ask)


def test_page(desk):
    """The page's lines work as they are."""
    desk.run_page("dspy", user="u-42")
