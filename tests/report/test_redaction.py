"""The ready-made redactors."""

from __future__ import annotations

import base64
import copy
import json
import re
from pathlib import Path

import pytest
from support.backend import HANG_GUARD, Backend
from support.cpu_time import fastest
from support.shapes import chat_completion

from openpipe_report import OpenAI, Report, Reporter, chain, elide_media, mask_keys, mask_values

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


# Of each the length, in characters, is a little more than the number given.
NEARLY = {
    "parameters": lambda size: "data:x" + (";" + " " * 6) * (size // 7) + "x base64,",
    "parameters and quotes": lambda size: "data:x" + ';"' * (size // 2) + ";base64,",
    "data, data": lambda size: "data:" * (size // 5) + ";base64,!",
    "base64, base64": lambda size: ";base64," * (size // 8),
    "data and base64": lambda size: "data:;base64," * (size // 13),
    "blanks before base64": lambda size: ";" + " " * size + "base64,",
    "many blanks": lambda size: (";" + " " * 9) * (size // 10),
    "letters": lambda size: "a" * size,
    "digits": lambda size: "4" * size,
    "digits apart": lambda size: "4 " * (size // 2),
    "cards": lambda size: "4111-1111-1111-1111 " * (size // 20),
    "letters and blanks": lambda size: "A" * 40 + " " * size + "!",
    "lines and a mark": lambda size: ("A" * 40 + " " * 20) * (size // 60) + "!",
    "blanks": lambda size: " " * size,
    "bearer and blanks": lambda size: "bearer" + " " * size,
    "bearers": lambda size: "bearer " * (size // 7),
    "at": lambda size: "@" * size,
    "dots at": lambda size: "a@" + "a." * (size // 2),
    "a at": lambda size: "a@" * (size // 2),
    "encoded at": lambda size: "a%40" * (size // 4),
    "tokens": lambda size: "eyJ" * (size // 3),
    "tokens with dots": lambda size: "eyJaaaaaaaaaa." * (size // 14),
    "keys": lambda size: "sk-" * (size // 3),
    "named keys": lambda size: "api_key=" * (size // 8),
    "named keys and blanks": lambda size: "api_key    =    " * (size // 16),
    "commas": lambda size: "," * size,
}


@pytest.mark.parametrize("hook", [elide_media, mask_values, mask_keys(pattern="(?i)token|secret")])
@pytest.mark.parametrize("build", NEARLY.values(), ids=NEARLY)
def test_hooks_take_linear_time(hook, build):
    """Twice the text takes about twice the time, whatever it nearly matches."""

    def seconds(size):
        text = build(size)
        report = Report(reqPayload={"data": text, "text": text})
        return fastest(hook, report)

    size = 16_000
    assert seconds(4 * size) < 8 * seconds(size) + 0.01


@pytest.mark.parametrize(
    "text, masked",
    [
        ("mail ada@example.org, please", "mail [email], please"),
        ("<Ada.L+x@mail.example.co.uk>.", "<[email]>."),
        ("to=ada%40example.org&x=1", "to=[email]&x=1"),
        ("jürgen@müller.example", "[email]"),
        ("4111 1111 1111 1111 12/26", "[card] 12/26"),
        ("no 7 4111-1111-1111-1111", "no 7 [card]"),
        ("4111111111111111 378282246310005", "[card] [card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("1700000000000 0.4111111111111111", "1700000000000 0.4111111111111111"),
        ("4" * 40, "4" * 40),
        ("Authorization: Bearer abc.def-123_456", "Authorization: Bearer [token]"),
        ("the bearer shareholders", "the bearer shareholders"),
        (f"jwt eyJhbGciOiJI.eyJzdWIiOiIx.{'s' * 43}!", "jwt [token]!"),
        (f"key sk-proj-{'aB3_' * 9}, ok", "key [api key], ok"),
        (f"ghp_{'a1' * 18} AKIAIOSFODNN7EXAMPLE", "[api key] [api key]"),
        ('{"api_key": "0123456789abcdef"}', '{"api_key": "[api key]"}'),
        ("sk-learn-compatible-estimators", "sk-learn-compatible-estimators"),
        ("a @ b, x@y, 12 @ 3.50", "a @ b, x@y, 12 @ 3.50"),
        ("word " * 20_000 + "Bearer abcdef123456", "word " * 20_000 + "Bearer [token]"),
        ("ada@example.org " * 9_000, "[email] " * 9_000),
    ],
)
def test_mask_values(text, masked):
    """What identifies somebody or opens something is masked in any text; the rest stays."""
    assert redact(mask_values, {"messages": [{"content": text}], "n": 1}) == {
        "messages": [{"content": masked}],
        "n": 1,
    }


def test_mask_values_cuts_no_value():
    """Wherever a long text is parted, what is in it is found."""
    card, key = "4111 1111 1111 1111", "api key: 0123456789abcdef"
    for shift in range(60):
        text = "x " * (16_384 - shift) + f"Basic QWxhZGRpbjpvcGVu {card} {key} " * 900
        assert not re.search("QWx|1111|0123", redact(mask_values, text))


def test_mask_values_elsewhere():
    """Tags and the error's message are masked, too; what is absent stays absent."""
    report = Report(errorMessage="Incorrect API key: sk-abcd1234efgh", tags={"by": "a@b.example"})
    assert mask_values(report).to_wire() == {
        "errorMessage": "Incorrect API key: [api key]",
        "tags": {"by": "[email]"},
    }
    assert mask_values(Report()).to_wire() == {}


def test_hooks_take_deep_payloads():
    """The deepest payload that there can be is masked as any other."""
    payload = "a@b.example"
    for _ in range(490):
        payload = {"x": [payload][0]} if isinstance(payload, str) else [payload]
    for hook in (elide_media, mask_values, mask_keys("x")):
        assert ("a@b.example" in repr(hook(Report(reqPayload=payload)))) is False
        hook(Report(reqPayload=payload)).to_json()


REQUEST_COUNTS = {
    "max_tokens": 24,
    "max_completion_tokens": None,
    "max_output_tokens": 9,
    "thinking": {"budget_tokens": 1024},
}
USAGE = {
    "prompt_tokens": 3,
    "total_tokens": 5,
    "completion_tokens_details": {"reasoning_tokens": 0, "cached_tokens": None},
}
ANSWER_COUNTS = [
    {"usage": USAGE, "max_output_tokens": 9},
    {"type": "response.completed", "response": {"usage": USAGE}},
    {"usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"tokenCount": 1}, 2]}},
]
SECRETS = [
    {"access_token": "abc"},
    {"secret_pin": 482913},
    {"tokens": ["abc"]},
    {"tokens": [482913]},
    {"token": 482913},
    {"max_tokens": "abc"},
    {"max_tokens": True},
    {"secret_tokens": 482913},
    {"metadata": {"tokens": "abc"}},
    {"usage": {"token": "abc"}},
    {"usage": {"token": 482913}},
    {"usage": {"tokens": ["abc", 7]}},
    {"usage": {"tokens": {"of": "abc"}}},
    {"usage": {"tokens": {"secret_pin": 482913}}},
    {"response": {"usage": {"token_details": [["abc"]]}}},
    {"messages": [{"usage": {"tokens_details": {"pin": 482913}}}]},
    {"choices": [{"message": {"usage": {"tokens": {"pin": 482913}}}}]},
    {"nested": [{"client_secret": {"pin": 482913}}]},
]


def documented_hook():
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    names = {}
    exec(code.partition("client = ")[0], names)
    return names["reporter"].settings.before_report


def test_documented_hook_spares_token_counts():
    """The example of the privacy page leaves all counts of tokens."""
    hook = documented_hook()
    assert hook(Report(reqPayload=REQUEST_COUNTS)).reqPayload == REQUEST_COUNTS
    assert hook(Report(respPayload=ANSWER_COUNTS)).respPayload == ANSWER_COUNTS
    for answer in ANSWER_COUNTS:
        assert hook(Report(respPayload=answer)).respPayload == answer


@pytest.mark.parametrize("value", SECRETS, ids=repr)
def test_documented_hook_masks_what_is_no_count(value):
    """Whatever is under such a key is masked, unless it is a number of tokens."""
    masked = documented_hook()(Report(reqPayload=value, respPayload=value, tags={"token": "abc"}))
    assert not re.search("abc|482913|true", json.dumps(masked.to_wire()))


def test_names_always_mask():
    """A name masks counts as well, wherever they are; so does a pattern that finds other words."""
    usage = {"usage": {"prompt_tokens": 1}}
    assert redact(mask_keys("max_tokens"), {"max_tokens": 1}) == {"max_tokens": "[masked]"}
    assert redact(mask_keys("prompt_tokens"), usage) == {"usage": {"prompt_tokens": "[masked]"}}
    assert redact(mask_keys(pattern="prompt"), usage) == {"usage": {"prompt_tokens": "[masked]"}}
    assert redact(mask_keys(pattern="usage"), usage) == {"usage": "[masked]"}


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
