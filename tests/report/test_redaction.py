"""The ready-made redactors."""

from __future__ import annotations

import base64
import copy
import re

import pytest
from support.backend import HANG_GUARD, Backend
from support.shapes import chat_completion

from openpipe_report import OpenAI, Report, Reporter, chain, elide_media, mask_keys

PIXELS = bytes(range(256)) * 12
BASE64 = base64.b64encode(PIXELS).decode()
WRAPPED = base64.encodebytes(PIXELS).decode()
URL = f"data:image/png;base64,{BASE64}"


def redact(hook, payload):
    """What a hook makes of a payload, as request and as answer; the original stays as it is."""
    before = copy.deepcopy(payload)
    report = hook(Report(reqPayload=payload, respPayload=payload))
    assert payload == before
    assert report.reqPayload == report.respPayload
    return report.reqPayload


@pytest.mark.parametrize(
    "payload, elided",
    [
        ({"image_url": {"url": URL}}, {"image_url": {"url": "<image/png, 3072 bytes>"}}),
        ({"text": f"a {URL} b"}, {"text": "a <image/png, 3072 bytes> b"}),
        (
            {"url": "data:text/plain;charset=utf-8;base64,SGk="},
            {"url": "<text/plain, 2 bytes>"},
        ),
        ({"url": "data:;base64,SGk="}, {"url": "<data, 2 bytes>"}),
        (
            {"url": f"DATA:image/png;charset=x y;BASE64, {BASE64}"},
            {"url": "<image/png, 3072 bytes>"},
        ),
        (
            {"url": f'data:video/webm;codecs="vp8, opus";base64,{BASE64} and on'},
            {"url": "<video/webm, 3072 bytes> and on"},
        ),
        (
            {"url": f"data:image/png;base64,{WRAPPED}", "data": WRAPPED},
            {"url": "<image/png, 3072 bytes>\n", "data": "<base64, 3072 bytes>"},
        ),
        ([{"b64_json": BASE64}], [{"b64_json": "<base64, 3072 bytes>"}]),
        (
            {"input_audio": {"data": BASE64, "format": "wav"}},
            {"input_audio": {"data": "<base64, 3072 bytes>", "format": "wav"}},
        ),
        ({"file_data": [BASE64]}, {"file_data": ["<base64, 3072 bytes>"]}),
        ({"type": "image_generation_call", "result": BASE64}, None),
        ({"data": "a short text"}, {"data": "a short text"}),
        ({"result": "words " * 40}, {"result": "words " * 40}),
        ({"content": BASE64}, {"content": BASE64}),
        ({"content": "say ;base64, please"}, {"content": "say ;base64, please"}),
        (None, None),
        ("plain", "plain"),
        ([1, True, None, 2.5], [1, True, None, 2.5]),
    ],
)
def test_elide_media(payload, elided):
    """Base64 media is replaced by its kind and size; everything else stays."""
    found = redact(elide_media, payload)
    if elided is None and payload is not None:
        elided = {**payload, "result": "<base64, 3072 bytes>"}
    assert found == elided


def test_elide_media_takes_linear_time():
    """A large payload that almost matches is no trouble."""
    payload = {"data": "A" * 2_000_000 + "!", "text": ("data:" * 200_000) + ";base64,!"}
    assert redact(elide_media, payload)["data"] == payload["data"]


@pytest.mark.parametrize(
    "hook, masked",
    [
        (mask_keys("Email"), {"email", "inner.email"}),
        (mask_keys("email", "ssn"), {"email", "inner.email", "list.ssn"}),
        (mask_keys(pattern=r"^s"), {"list.ssn"}),
        (mask_keys("email", pattern=r"sn$"), {"email", "inner.email", "list.ssn"}),
    ],
)
def test_mask_keys(hook, masked):
    """Values of keys are masked whatever they are, at any depth, by name or by pattern."""
    payload = {"email": {"a": 1}, "inner": {"email": None}, "list": [{"ssn": 3}], "name": "n"}
    found = redact(hook, payload)
    shown = {
        "email": found["email"],
        "inner.email": found["inner"]["email"],
        "list.ssn": found["list"][0]["ssn"],
        "name": found["name"],
    }
    assert {name for name, value in shown.items() if value == "[masked]"} == masked


def test_mask_keys_of_tags():
    """Tags are masked as well; absent fields stay absent."""
    report = mask_keys("user")(Report(tags={"user": "u1", "x": 1}, respPayload=None))
    assert report.to_wire() == {"tags": {"user": "[masked]", "x": 1}, "respPayload": None}


def test_wrong_arguments():
    """Nothing to mask, or a pattern that is none, raises at once."""
    with pytest.raises(ValueError, match="needs a key's name"):
        mask_keys()
    with pytest.raises(re.error):
        mask_keys(pattern="(")


def test_chain():
    """Hooks follow each other; one that returns None ends it."""
    report = Report(reqPayload={"email": "e", "url": URL})
    both = chain(elide_media, mask_keys("email"))
    assert both(report).reqPayload == {"email": "[masked]", "url": "<image/png, 3072 bytes>"}
    assert chain(lambda _: None, mask_keys("email"))(report) is None
    assert chain()(report) is report


def test_in_use(scripted):
    """As `before_report`: what leaves the process has neither picture nor address."""
    scripted.json(chat_completion())
    with Backend() as backend:
        reporter = Reporter(
            base_url=backend.base_url, before_report=chain(elide_media, mask_keys("email"))
        )
        with OpenAI(base_url=scripted.base_url, api_key="k", reporter=reporter) as client:
            client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": [{"type": "image_url", "image_url": URL}]}],
                metadata={"email": "a@b.example"},
            )
        assert reporter.flush(HANG_GUARD)
        reporter.shutdown()
    assert BASE64.encode() in scripted.requests[0].body
    [post] = backend.posts
    assert BASE64.encode()[:64] not in post.body
    assert b"a@b.example" not in post.body
