"""instructor, patching our client."""

from __future__ import annotations

import instructor
import pytest
from instructor import Mode
from pydantic import BaseModel, field_validator

import openpipe_report
from integrations.harness import LABELS, MODEL, run
from openpipe_report import instrument, metadata

MODES = {"tools": Mode.TOOLS, "json": Mode.JSON}
JSON = '{"city":"Oslo"}'


def ask():
    """The arguments of a call, made anew: instructor 1.12 changes the list of messages."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "Where is it?"}]}


class City(BaseModel):
    city: str


class Capital(BaseModel):
    city: str

    @field_validator("city")
    @classmethod
    def known(cls, city):
        if city == "Oslo":
            raise ValueError("not Oslo")
        return city


def make_client(package, *, is_async=False, mode=Mode.TOOLS):
    made = package.AsyncOpenAI() if is_async else package.OpenAI()
    return instructor.from_openai(made, mode=mode)


def view(city):
    """A city with the answer that it was read from; instructor makes its class anew each time."""
    return city.model_dump(), city._raw_response


def create(package, mode):
    return view(make_client(package, mode=mode).create(response_model=City, **ask()))


def create_with_completion(package, mode):
    client = make_client(package, mode=mode)
    city, completion = client.create_with_completion(response_model=City, **ask())
    return view(city), completion


def create_partial(package, mode):
    client = make_client(package, mode=mode)
    return [part.model_dump() for part in client.create_partial(response_model=City, **ask())]


def acreate(package, mode):
    client = make_client(package, is_async=True, mode=mode)
    return view(run(client.create(response_model=City, **ask())))


def acreate_partial(package, mode):
    client = make_client(package, is_async=True, mode=mode)

    async def read():
        stream = client.create_partial(response_model=City, **ask())
        return [part.model_dump() async for part in stream]

    return run(read())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "call", [create, create_with_completion, create_partial, acreate, acreate_partial]
)
def test_call(desk, mode, call):
    """A call is what it is with openai's client, and reported once."""
    desk.model.text = JSON
    assert "Oslo" in str(desk.check(lambda package: call(package, MODES[mode])))


@pytest.mark.parametrize("call", [create, create_partial, acreate, acreate_partial])
def test_refusal(desk, call):
    """A call that is refused fails as with openai's client, and is reported as failed."""
    desk.check_refusal(lambda package: call(package, Mode.TOOLS))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_each_retry_is_reported(desk, is_async):
    """An answer that does not validate is asked for again: a call, and a report, of its own."""

    def create(package):
        client = make_client(package, is_async=is_async)
        made = client.create(response_model=Capital, max_retries=2, **ask())
        return run(made) if is_async else made

    def fail(package):
        with pytest.raises(Exception, match="not Oslo"):
            create(package)

    desk.model.insists = True
    desk.check(fail, requests=None)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_labels_of_streams(desk, is_async):
    """A sync stream has the labels from around its start, an async one from its reading."""
    client = make_client(openpipe_report, is_async=is_async)
    desk.model.arguments = JSON
    labels = desk.labels_of_stream(lambda: client.create_partial(response_model=City, **ask()))
    assert labels == ("reading" if is_async else "start")


def test_own_metadata(desk):
    """`metadata=` of a call goes through instructor to our client, and not to OpenAI."""
    client = make_client(openpipe_report)
    with metadata(**LABELS):
        _, requests, reports = desk.observe(
            lambda: client.create(response_model=City, metadata={"step": "one"}, **ask())
        )
    assert "metadata" not in requests[0].json()
    desk.check_reports(requests, reports, {**LABELS, "step": "one"})


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_from_provider(desk, is_async):
    """The client that instructor makes from a model's name can be instrumented."""
    client = instructor.from_provider(f"openai/{MODEL}", async_client=is_async)
    instrument(client.client)

    def create():
        made = client.create(response_model=City, messages=ask()["messages"])
        return run(made) if is_async else made

    with metadata(**LABELS):
        _, requests, reports = desk.observe(create)
    desk.check_reports(requests, reports)


def test_real_model(desk, local_model):
    """A real answer is reported once."""

    def ask_model(name):
        client = make_client(openpipe_report, mode=Mode.JSON_SCHEMA)
        messages = [{"role": "user", "content": 'Name a city, as {"city": "..."}'}]
        _, completion = client.create_with_completion(
            model=name, messages=messages, response_model=City, max_tokens=64
        )
        return completion.choices[0].message.content

    desk.check_real(local_model, ask_model)


def test_page(desk):
    """The page's lines work as they are."""
    desk.run_page("instructor", user="u-42", feature="atlas")
