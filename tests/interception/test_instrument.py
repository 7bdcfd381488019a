"""instrument(): clients that somebody else has constructed, sync and async."""

from __future__ import annotations

import gc
import weakref

import openai
import pytest
from support.shapes import chat_chunks, chat_completion

import openpipe_report
from openpipe_report import Reporter, SettingsError, instrument, uninstrument

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
DESTINATION = {"base_url": "http://127.0.0.1:9/api/v1"}


class Sub(openai.OpenAI):
    """A user's own client."""

    __slots__ = ("extra",)

    def __init__(self, *, extra="none", **kwargs):
        super().__init__(**kwargs)
        self.extra = extra

    def request(self, cast_to, options, **kwargs):
        self.seen = options.url
        return super().request(cast_to, options, **kwargs)


class AsyncSub(openai.AsyncOpenAI):
    def __init__(self, *, extra="none", **kwargs):
        super().__init__(**kwargs)
        self.extra = extra

    async def request(self, cast_to, options, **kwargs):
        self.seen = options.url
        return await super().request(cast_to, options, **kwargs)


class OwnClients:
    OpenAI, AsyncOpenAI = Sub, AsyncSub


PACKAGES = {"openai": openai, "subclass": OwnClients}


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_reports_in_place(make_caller, scripted, reports, package):
    """An instrumented client is the same object of the same name, sends the same, and reports."""
    caller = make_caller(package=package)
    client, kind = caller.client, type(caller.client)
    for _ in range(2):
        scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert instrument(client, openpipe=DESTINATION) is client
    assert isinstance(client, kind)
    assert (type(client).__name__, type(client).__module__) == (kind.__name__, kind.__module__)
    caller("chat.completions.create", **CHAT)
    bare, ours = scripted.requests
    assert [bare.target, bare.body] == [ours.target, ours.body]
    assert bare.headers == ours.headers
    [report] = reports
    assert report.reqPayload == CHAT
    if package is OwnClients:
        assert (client.seen, client.extra) == ("/chat/completions", "none")


def test_parameters_of_its_own(make_caller, scripted, reports):
    """A class that has parameters of our names, or its own with_options, keeps them."""

    class Own(openai.OpenAI):
        def __init__(self, *, reporter=None, **kwargs):
            super().__init__(**kwargs)
            self.theirs = reporter

        def with_options(self, **kwargs):
            copy = super().with_options(**kwargs)
            copy.theirs = "copied"
            return copy

    client = instrument(Own(api_key="k", base_url=scripted.base_url))
    copy = client.with_options(timeout=3)
    assert copy.theirs == "copied"
    scripted.json(chat_completion())
    copy.chat.completions.create(**CHAT)
    assert len(reports) == 1
    client.close()


def test_wrappers_that_were_made_before(make_caller, scripted, reports):
    """Raw wrappers that a resource made before take `openpipe=`, and no more afterwards."""
    caller = make_caller(package=openai)
    for name in ("with_raw_response", "with_streaming_response"):
        getattr(caller.client.chat.completions, name)
    instrument(caller.client)
    scripted.json(chat_completion())
    caller("chat.completions.with_raw_response.create", **CHAT, openpipe={"tags": {"a": 1}})
    assert reports[0].tags["a"] == 1
    uninstrument(caller.client)
    with pytest.raises(TypeError):
        caller("chat.completions.with_raw_response.create", **CHAT, openpipe={})


def test_on_after_off(make_caller, monkeypatch):
    """A client that was instrumented without a destination gets one when there is one."""
    client = instrument(make_caller(package=openai).client)
    assert client._openpipe_config.reporter is None
    monkeypatch.setenv("OPENPIPE_BASE_URL", DESTINATION["base_url"])
    assert instrument(client)._openpipe_config.reporter is not None


def test_twice_is_once(make_caller, scripted, reports):
    """Instrumenting again changes nothing, nor does it for a client of ours."""
    for package in (openai, openpipe_report):
        caller = make_caller(package=package)
        instrument(instrument(caller.client))
        scripted.json(chat_completion())
        caller("chat.completions.create", **CHAT)
    assert len(reports) == 2


def test_streams_and_copies(make_caller, scripted, reports):
    """Streams report, and so do copies that are made afterwards."""
    caller = make_caller(package=openai)
    instrument(caller.client)
    caller.client = caller.client.with_options(timeout=3).copy(max_retries=1)
    scripted.stream(chat_chunks("One two"))
    stream = caller("chat.completions.create", stream=True, **CHAT)
    caller.iterate(stream)
    assert reports[0].respPayload["choices"][0]["message"]["content"] == "One two"


def test_uninstrument(make_caller, scripted, reports):
    """Undone, the client and its resources are of their own classes again, and report nothing."""
    caller = make_caller(package=openai)
    client, kind = caller.client, type(caller.client)
    kinds = (type(client.chat), type(client.chat.completions))
    client.beta.chat.completions  # noqa: B018 - made before
    instrument(client)
    assert uninstrument(client) is client
    assert type(client) is kind
    assert (type(client.chat), type(client.chat.completions)) == kinds
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert not reports
    with pytest.raises(TypeError):
        caller("chat.completions.create", openpipe={}, **CHAT)


def test_ours_is_not_uninstrumented(make_caller, scripted, reports):
    """A client of our own classes cannot but report."""
    caller = make_caller()
    assert uninstrument(caller.client) is caller.client
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert len(reports) == 1


def test_destination(make_caller):
    """The destination is the argument's, else the environment's; given later, it is changed."""
    client = make_caller(package=openai).client
    first, second = Reporter(**DESTINATION), Reporter(**DESTINATION)
    instrument(client, reporter=first)
    assert client._openpipe_config.reporter is first
    instrument(client)
    assert client._openpipe_config.reporter is first
    instrument(client, reporter=second)
    assert client.copy()._openpipe_config.reporter is second


def test_refused(make_caller):
    """What is no client of openai's is refused, and a wrong setting leaves the client as it is."""
    with pytest.raises(TypeError, match="takes a client of openai's, got module"):
        instrument(openai)
    client = make_caller(package=openai).client
    with pytest.raises(SettingsError, match="unknown setting nope"):
        instrument(client, openpipe={"nope": 1})
    assert type(client).__module__ == type(client).__mro__[0].__module__
    assert not hasattr(client, "_openpipe_config")


@pytest.mark.parametrize("name", ["AzureOpenAI", "AsyncAzureOpenAI", "BedrockOpenAI"])
def test_other_classes(name, scripted, reports):
    """Azure's and Bedrock's clients can be instrumented as well."""
    cls = getattr(openai, name, None)
    if cls is None:
        pytest.skip(f"this openai has no {name}")
    own = {
        "BedrockOpenAI": {"base_url": scripted.base_url},
    }.get(name, {"azure_endpoint": scripted.root, "api_version": "2024-10-21"})
    client = instrument(cls(api_key="k", **own))
    assert isinstance(client, cls)
    assert type(client).__name__ == name
    if not name.startswith("Async"):
        scripted.json(chat_completion())
        client.chat.completions.create(**CHAT)
        assert len(reports) == 1
        client.close()


def test_instrumented_clients_are_freed():
    """Clients that nobody keeps are not kept by having been instrumented."""
    client = instrument(openai.OpenAI(api_key="k"), openpipe=DESTINATION)
    client.chat.completions  # noqa: B018 - makes it
    client.close()
    kept = weakref.ref(client)
    del client
    gc.collect()
    assert kept() is None
