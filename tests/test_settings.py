"""Argument, then environment, then default; a wrong setting raises at once and says what to do."""

from __future__ import annotations

import ast
import itertools
import traceback
from pathlib import Path
from typing import get_type_hints

import httpx
import pytest
from pydantic import SecretStr, ValidationError

import openpipe_report
from openpipe_report import OpenPipeError, Reporter, Settings, SettingsArguments
from openpipe_report._environment import ARGUMENT_ONLY, load_settings, variable_of
from openpipe_report._settings import HOSTED_BASE_URL


@pytest.mark.parametrize(
    "environ, given, expected",
    [
        ({}, {}, 64),
        ({"OPENPIPE_REPORT_SENDERS": "3"}, {}, 3),
        ({"OPENPIPE_REPORT_SENDERS": "3"}, {"senders": 2}, 2),
        ({"OPENPIPE_REPORT_SENDERS": "3"}, {"senders": None}, 3),
        ({"OPENPIPE_REPORT_SENDERS": ""}, {}, 64),
        ({"OPENPIPE_REPORT_SENDERS": "  "}, {}, 64),
        ({"OPENPIPE_REPORT_SENDERS": " 3\n"}, {}, 3),
    ],
    ids=["default", "environment", "argument", "argument-none", "empty", "blank", "padded"],
)
def test_precedence(environ, given, expected):
    """The argument wins over the environment, and that over the default; empty is unset."""
    assert load_settings(environ, given).senders == expected


@pytest.mark.parametrize(
    "text, value", [("false", False), ("0", False), ("1", True), ("yes", True)]
)
def test_booleans(text, value):
    """Booleans in the environment are read in their usual spellings."""
    assert load_settings({"OPENPIPE_REPORT_ENABLED": text}).enabled is value


def test_variables():
    """Every setting that can be text has a variable; two have OpenPipe's own."""
    names = {name: variable_of(name) for name in Settings.model_fields}
    assert names.pop("api_key") == "OPENPIPE_API_KEY"
    assert names.pop("base_url") == "OPENPIPE_BASE_URL"
    assert {name for name, variable in names.items() if variable is None} == ARGUMENT_ONLY
    assert all(
        names[name] == f"OPENPIPE_REPORT_{name.upper()}" for name in names.keys() - ARGUMENT_ONLY
    )


@pytest.mark.parametrize(
    "given, message",
    [
        ({"base_url": "ftp://h/x"}, "base_url: must be an http(s) URL such as"),
        ({"base_url": "x"}, "got 'x'"),
        ({"base_url": "http://"}, "must be an http(s) URL"),
        ({"base_url": "http://h:99999"}, "must be an http(s) URL"),
        ({"base_url": "http://[::1"}, "must be an http(s) URL"),
        ({"base_url": "http://h/a\nb"}, "must be an http(s) URL"),
        ({"base_url": "http://h o/a"}, "must be an http(s) URL"),
        ({"base_url": "http://h/a?"}, "must have no query"),
        ({"base_url": "http://h/a#b"}, "must have no query"),
        ({"base_url": "http://h/api/v1/report/"}, "must end before '/report'"),
        ({"senders": 0}, "senders: input should be greater than or equal to 1, got 0"),
        ({"sample_rate": 1.5}, "sample_rate"),
        ({"sample_rate": float("nan")}, "sample_rate"),
        ({"retry_for": float("inf")}, "retry_for"),
        ({"read_timeout": 0}, "read_timeout"),
        ({"endpoints": "chat.completions,chats"}, "but not chats"),
        ({"endpoints": [["responses"]]}, "but not ['responses']"),
        ({"endpoints": 3}, "endpoints: must be names from"),
        ({"endpoints": ", ,"}, "endpoints: names none of"),
        ({"before_report": 3}, "before_report: must be a plain function"),
        ({"on_drop": "f"}, "on_drop: must be a plain function"),
        ({"http_client": object()}, "http_client: must be an httpx.Client"),
        ({"http_client": httpx.AsyncClient}, "must be an httpx.Client"),
        ({"sender": 2}, "unknown setting sender; there are api_key"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)  # fmt: skip
def test_wrong_setting(given, message):
    """A wrong setting raises an OpenPipeError with its name, its value and the remedy."""
    with pytest.raises(OpenPipeError) as raised:
        load_settings({}, given)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "secret\n"},
        {"api_key": SecretStr("secret\n")},
        {"base_url": "http://user:secret@host/api"},
        {"base_url": "ftp://secret@host/api"},
    ],
    ids=["key", "secret-str", "password", "user"],
)
def test_no_key_in_an_error(given):
    """A key or a password is in no error's text, nor in what led to it."""
    with pytest.raises(OpenPipeError) as raised:
        load_settings({}, given)
    assert "secret" not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(ValidationError) as raised:
        Settings(**given)
    assert "secret" not in str(raised.value)


def test_no_key_in_a_repr():
    """A key is in no repr."""
    settings = load_settings({"OPENPIPE_API_KEY": "opk-secret"})
    assert "secret" not in f"{settings!r} {settings} {Reporter.from_settings(settings)!r}"


@pytest.mark.parametrize(
    "given, url",
    [
        ({"api_key": "k"}, f"{HOSTED_BASE_URL}/report"),
        ({"base_url": "http://h/api/v1/"}, "http://h/api/v1/report"),
        ({"base_url": httpx.URL("http://[::1]:8417/api/v1")}, "http://[::1]:8417/api/v1/report"),
    ],
    ids=["hosted", "slash", "url-object"],
)
def test_report_url(given, url):
    """Reports go to the base URL's /report, by default to OpenPipe's."""
    assert load_settings({}, given).report_url == url


def fields_of(path, name):
    """The fields of a class in a file, in order, each with the docstring under it."""
    tree = ast.parse((Path(openpipe_report.__file__).parent / path).read_text("utf-8"))
    [body] = [
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    return [
        (node.target.id, ast.literal_eval(text.value))
        for node, text in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign)
    ]


def test_arguments():
    """Type checkers are shown every setting as an argument, with the same words under it."""
    arguments = fields_of("_delivery/arguments.py", "SettingsArguments")
    assert arguments == fields_of("_settings.py", "Settings")
    assert [name for name, _ in arguments] == [*Settings.model_fields]
    assert SettingsArguments.__optional_keys__ == {*Settings.model_fields}
    assert get_type_hints(SettingsArguments).keys() == Settings.model_fields.keys()


def test_reporter_needs_a_destination():
    """A Reporter without key and URL raises, and says which variables would do."""
    with pytest.raises(OpenPipeError, match="OPENPIPE_BASE_URL"):
        Reporter()
