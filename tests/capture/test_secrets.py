"""No key is anywhere but in the header it belongs to."""

from __future__ import annotations

import json
import logging
import traceback

import openai
import pytest
from support.backend import HANG_GUARD, OK, Backend
from support.scripted_openai import Fault, Reply
from support.shapes import api_error, chat_chunks, chat_completion

import openpipe_report
from openpipe_report import Reporter, SettingsError, instrument, span

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
KEYS = {
    "openai": "sk-proj-UPSTREAM0000SECRET",
    "openpipe": "opk-REPORTS1111SECRET",
    "azure": "AZURE2222SECRET",
    "entra": "ENTRA3333SECRET",
    "header": "HEADER4444SECRET",
    "query": "QUERY5555SECRET",
    "organization": "org-6666SECRET",
}


def clients(scripted, library, reporter):
    """Clients that carry a key in every place that openai has for one."""
    common = {
        "max_retries": 0,
        "default_headers": {"X-Api-Key": KEYS["header"]},
        "default_query": {"key": KEYS["query"]},
        "organization": KEYS["organization"],
    }
    openai_client = {"api_key": KEYS["openai"], "base_url": scripted.base_url, **common}
    azure = {"azure_endpoint": scripted.root, "api_version": "2024-10-21", **common}
    return [
        openpipe_report.OpenAI(reporter=reporter, **openai_client),
        instrument(openai.OpenAI(**openai_client), reporter=reporter),
        openpipe_report.AzureOpenAI(api_key=KEYS["azure"], reporter=reporter, **azure),
        openpipe_report.AzureOpenAI(azure_ad_token=KEYS["entra"], reporter=reporter, **azure),
        openpipe_report.OpenAI(
            **openai_client,
            reporter=reporter,
            http_client=library.Client(event_hooks={"response": [refuse]}),
        ),
    ]


def refuse(response):
    """A user's hook, which tells of the URL in its own words."""
    if response.status_code >= 400:
        raise ValueError(f"no luck with {response.request.url}")


def quote(request):
    """A server that quotes the keys it refuses."""
    where = request.target + "".join(value for _, value in request.headers)
    keys = [key for name, key in KEYS.items() if key in where and name != "organization"]
    assert keys
    body = json.dumps(api_error(f"wrong: {', '.join(keys)}")).encode()
    return Reply([body], 401, [("Content-Type", "application/json")], length=len(body))


def one_of_each(scripted):
    """Answers of every kind, each followed by the call that gets it."""
    scripted.json(chat_completion())
    yield {}
    scripted.stream(chat_chunks("One"))
    yield {"stream": True}
    scripted.otherwise = quote
    yield {}
    scripted.json(api_error("no"), 500)
    yield {"stream": True}
    scripted.fault(Fault.RESET)
    yield {}
    scripted.stream([*chat_chunks("One")[:2], Fault.CLOSE], done=False)
    yield {"stream": True}
    yield {"extra_headers": {"X-Api-Key": f"{KEYS['header']}\n"}}
    yield {"extra_body": {"x": object()}}


def test_no_key_anywhere(scripted, library, tmp_path, monkeypatch, caplog):
    """Not in a report, our lines, a repr, the spool; ours in nobody's line or exception."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "spool"
    ours, others = [], []
    with Backend() as backend:
        answers = iter([(400, b'{"message": "no such key: opk-REPORTS1111SECRET"}', {})])
        backend.answer = lambda post: next(answers, OK)
        reporter = Reporter(base_url=backend.base_url, api_key=KEYS["openpipe"], spool=str(path))
        for client in clients(scripted, library, reporter):
            for arguments in one_of_each(scripted):
                try:
                    result = client.chat.completions.create(**CHAT, **arguments)
                    if arguments.get("stream"):
                        list(result)
                except Exception as error:  # noqa: BLE001 - of any kind
                    others.append("".join(traceback.format_exception(error)))
            ours.append(repr(client))
            client.close()
        with span("work", reporter=reporter) as work:
            ours.append(repr(work))
        reporter.channel.spool.sync(HANG_GUARD)
        ours += files_in(path)
        reporter.flush(HANG_GUARD)
        ours += [repr(reporter), repr(reporter.settings), str(reporter.settings)]
        ours += [reporter.settings.model_dump_json(exclude={"http_client"}), repr(reporter.stats())]
        reporter.shutdown(HANG_GUARD)
        ours += files_in(path)
        posts = backend.posts
    assert len({post.key for post in posts}) == 5 * 8 + 1
    assert all(post.headers["authorization"] == f"Bearer {KEYS['openpipe']}" for post in posts)
    ours += [post.body.decode() for post in posts]
    for record in caplog.records:
        line = f"{record.getMessage()} {record.exc_text}"
        (ours if record.name.startswith("openpipe_report") else others).append(line)
    assert "no such key: [key]" in "".join(ours)
    for name, key in KEYS.items():
        assert not [text[:300] for text in ours if key in text], name
    assert not [text[:300] for text in others if KEYS["openpipe"] in text]


def test_what_is_no_key_stays(scripted, reports):
    """An API version in the query is no key: an answer that names it is kept as it came."""
    scripted.json(api_error("2024-10-21 is not supported"), 400)
    with (
        openpipe_report.AzureOpenAI(
            api_key=KEYS["azure"], azure_endpoint=scripted.root, api_version="2024-10-21"
        ) as client,
        pytest.raises(openai.BadRequestError),
    ):
        client.chat.completions.create(**CHAT)
    assert reports[0].errorMessage == "2024-10-21 is not supported"


def files_in(folder):
    return [file.read_bytes().decode("latin-1") for file in folder.iterdir()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": f"ftp://user:{KEYS['openpipe']}@host"},
        {"api_key": f"{KEYS['openpipe']}\n"},
        {"api_key": [KEYS["openpipe"]]},
        {"api_key": KEYS["openpipe"], "senders": 0},
        {"api_key": KEYS["openpipe"], "nope": 1},
    ],
)
def test_no_key_in_a_settings_error(wrong):
    """What is wrong with a setting is told without the key."""
    with pytest.raises(SettingsError) as raised:
        Reporter(**wrong)
    told = "".join(traceback.format_exception_only(raised.value))
    assert KEYS["openpipe"] not in told
