"""What crossed the wire becomes the report."""

from __future__ import annotations

import base64
import gzip
import json
import time
import tracemalloc
import zlib
from hashlib import sha256

import pytest

from openpipe_report import Report, Settings, elide_media
from openpipe_report._report.content_encoding import (
    UndecodableError,
    _gzip,
    decode_body,
    decode_content,
)
from openpipe_report._report.encode import encode_report, fit
from openpipe_report._report.exchange import Exchange
from openpipe_report._report.failures import error_message


def exchange(**fields):
    fields.setdefault("request", b'{"model":"m"}')
    return Exchange("chat/completions", "0", 1000.0, **fields)


@pytest.mark.parametrize(
    "body, value",
    [
        (b'{"a":1}', {"a": 1}),
        (b'\n \n{"a":1}', {"a": 1}),
        (b"", None),
        (b"<html>", "<html>"),
        (b'{"a":NaN,"b":-Infinity}', {"a": "NaN", "b": "-Infinity"}),
        (b'{"a":1e400}', {"a": "1e400"}),
        (b'"\\ud800"', "\ud800"),
        (b'"\\u0000"', "\0"),
        (b"1" * 4000, int("1" * 4000)),
        (b"1" * 5000, "1" * 5000),
        (b"[" * 100_000, "[" * 100_000),
        (b"[" * 501 + b"]" * 501, "[" * 501 + "]" * 501),
        ("é".encode("utf-16"), "é"),
    ],
    ids=[
        "json", "padding", "empty", "html", "nan", "out-of-range", "surrogate", "nul",
        "4000-digits", "5000-digits", "too-deep", "deep", "utf-16",
    ],
)  # fmt: skip
def test_decode_body(body, value):
    """JSON is decoded, what JSON cannot say stays its text, and so does anything else."""
    charset = "; charset=utf-16" if body[:1] == b"\xff" else ""
    assert decode_body(body, f"text/plain{charset}") == value


def brotli(raw):
    return pytest.importorskip("brotli").compress(raw)


def zstd(raw):
    return pytest.importorskip("zstandard").compress(raw)


def raw_deflate(raw):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


ENCODINGS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without header": ("deflate", raw_deflate),
    "br": ("br", brotli),
    "zstd": ("zstd", zstd),
    "identity": ("identity", bytes),
    "none": ("", bytes),
    "two": ("deflate, gzip", lambda raw: gzip.compress(zlib.compress(raw))),
}


@pytest.mark.parametrize("name, encode", ENCODINGS.values(), ids=ENCODINGS)
def test_decode_content(name, encode):
    """Each content-encoding that httpx knows is undone."""
    assert decode_content(encode(b"data: {}\n\n" * 9), name) == b"data: {}\n\n" * 9


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_decode_content_that_was_cut(name):
    """Of a compressed stream that was cut the beginning is read."""
    text = b"".join(sha256(bytes([n % 256, n // 256])).digest() for n in range(20_000))
    raw = ENCODINGS[name][1](text)
    found = decode_content(raw[: len(raw) // 2], name)
    assert found
    assert text.startswith(found)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "rot13"])
def test_undecodable_content(name):
    """What cannot be decoded raises, and says which encoding it was."""
    with pytest.raises(UndecodableError, match=name):
        decode_content(b"garbage", name)


def bomb(name):
    """A few KB that unpack to 100 MB of zeros."""
    zeros = bytes(1024 * 1024)
    if name == "br":
        packer = pytest.importorskip("brotli").Compressor(quality=5)
        return b"".join([*(packer.process(zeros) for _ in range(100)), packer.finish()])
    if name == "zstd":
        packer = pytest.importorskip("zstandard").ZstdCompressor().compressobj()
    else:
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16 * (name == "gzip"))
    return b"".join([*(packer.compress(zeros) for _ in range(100)), packer.flush()])


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_decoding_is_bounded(name):
    """A small body that unpacks to a large one is read up to the limit, in as much memory."""
    raw = bomb(name)
    tracemalloc.start()
    try:
        assert decode_content(raw, name, 5_000_000) == bytes(5_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_old_and_other_codecs(name, monkeypatch):
    """Codecs whose output cannot be limited are fed little by little; others give the same."""
    raw, text = ENCODINGS[name][1](b"data: {}\n\n" * 99_999), b"data: {}\n\n" * 99_999
    assert decode_content(raw, name, 10**9) == text
    assert decode_content(raw, name, 1000) == text[:1000]
    if name == "br":
        brotli = pytest.importorskip("brotli")
        current = brotli.Decompressor

        class Old:
            def __init__(self):
                made = current()
                self.process = lambda raw: made.process(bytes(raw))  # takes no limit

        monkeypatch.setattr(brotli, "Decompressor", Old)
        assert decode_content(raw, name, 10**9) == text


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_frames_one_after_the_other(name):
    """Several compressed members are read as one body; what is no member after them is left."""
    encode = ENCODINGS[name][1]
    assert decode_content(encode(b"one ") + encode(b"two"), name) == b"one two"
    assert decode_content(gzip.compress(b"one") + bytes(8), "gzip") == b"one"


def test_members_wherever_the_input_is_parted():
    """Members are told apart wherever a slice of the input ends."""
    raw = gzip.compress(b"one ") + gzip.compress(b"two ") + gzip.compress(b"three")
    for size in range(1, len(raw)):
        assert b"".join(_gzip(raw, size)) == b"one two three"


def test_record_of_what_unpacks_to_too_much():
    """What was read of an answer that unpacks to too much is kept, and that is said."""
    chunks = [gzip.compress(b"a" * 5000)]
    made = exchange(status=200, chunks=chunks, content_encoding="gzip", max_decoded=1000)
    assert not made.is_known_success()
    report = made.build()
    assert report.respPayload == "a" * 1000
    assert report.errorMessage == "the answer unpacks to 1000 bytes or more; this is its beginning"


def test_record_of_what_is_broken_in_the_midst():
    """What was read before a broken byte is kept, and the breakage is said."""
    text = b"".join(sha256(bytes([n % 256, n // 256])).hexdigest().encode() for n in range(20_000))
    raw = bytearray(gzip.compress(text))
    raw[-8] ^= 1  # in the check of the data (RFC 1952)
    report = exchange(status=200, chunks=[bytes(raw)], content_encoding="gzip").build()
    assert report.errorMessage == "the answer's content-encoding 'gzip' is broken: error"
    assert text.decode().startswith(report.respPayload[:1000])
    assert len(report.respPayload) > 1000


def test_without_a_codec(monkeypatch):
    """A codec that is not installed is said to be missing."""
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    monkeypatch.setitem(__import__("sys").modules, "brotlicffi", None)
    with pytest.raises(UndecodableError, match="cannot be decoded here"):
        decode_content(b"garbage", "br")


@pytest.mark.parametrize(
    "value, message",
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m", "code": "c"}, "m"),
        ({"detail": "m"}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ("m\n", "m"),
        ("a\n  plain\tline\n", "a plain line"),
        ("<html>\n<h1>502</h1></html>", "502"),
        ("<HTML><title>\n502 Bad\nGateway</title><p>more", "502 Bad Gateway"),
        ("<html><title></title><style>p {}</style><h1>A &amp; B</h1>", "A & B"),
        ("<html><script>if (a < b) { '<h1>' }</script><p>a <b>b</b></p>", "a b"),
        ("<html><!-- <title>no</title> --><body>yes", "yes"),
        ("\n<!DOCTYPE html><p>x", "x"),
        ("502 Bad Gateway\r\n<center>nginx</center>", "502 Bad Gateway nginx"),
        ("<?xml version='1.0'?><Error><Code>7</Code><Message>No, not</Message></Error>", "No, not"),
        ("<?xml version='1.0'?><e><![CDATA[No <b> here]]></e>", "No <b> here"),
        ("<html></html>", "HTTP status 400 (an HTML page)"),
        ("<html>" + "a " * 9000, ("a " * 250)[:-1]),
        ({"error": {"message": "<html>x</html>"}}, "x"),
        ({"error": "proxy: <!doctype html><title>502</title><p>x"}, "proxy: 502"),
        ({"error": {"message": "'<p>' is not\na tool"}}, "'<p>' is not\na tool"),
        ("a < b", "a < b"),
        ({"error": {"message": 1}}, "HTTP status 400"),
        ({}, "HTTP status 400"),
        (None, "HTTP status 400"),
        ([], "HTTP status 400"),
        (7, "HTTP status 400"),
    ],
)
def test_error_message(value, message):
    """The upstream's own words are found in the shapes that vendors use."""
    assert error_message(value, 400) == message


class Source:
    """An exchange as the reporter gets it."""

    trace_id = None

    def __init__(self, made):
        self.size = made.size
        self.build = made.build
        self.discard_if_succeeded = made.is_known_success


CHAT = {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop"}]}
RESPONSE = {"object": "response", "id": "resp_x", "status": "completed", "error": None}


@pytest.mark.parametrize(
    "value, message",
    [
        ({"error": {"message": "picture too large", "code": 400}}, "picture too large"),
        ({"error": "m"}, "m"),
        ({"error": {"code": 7}}, '{"code":7}'),
        ({"error": True}, "true"),
        ({"error": {"message": "HTTP 502 upstream"}}, "HTTP 502 upstream"),
        ({"type": "error", "error": {"type": "overloaded", "message": "m"}}, "m"),
        ({"object": "error", "message": "m", "code": 400}, "m"),
        ({**CHAT, "error": {"message": "m"}}, "m"),
        ({**CHAT, "choices": [{"error": {"message": "m"}, "finish_reason": "error"}]}, "m"),
        ({**RESPONSE, "status": "failed", "error": {"code": "c", "message": "m"}}, "m"),
        ({**RESPONSE, "status": "failed"}, "the response failed"),
        ({**RESPONSE, "status": "incomplete", "error": {"message": "m"}}, "m"),
        ({**RESPONSE, "status": "incomplete"}, None),
        ({**RESPONSE, "status": "cancelled"}, None),
        (RESPONSE, None),
        (CHAT, None),
        ({**CHAT, "error": {}}, None),
        ({**CHAT, "choices": None}, None),
        ([1], None),
        ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], "m"),
        ([1, CHAT, {"error": {"message": "m"}}], "m"),
        ([CHAT], None),
        ("error", None),
    ],
)
def test_failure_told_in_a_200(value, message):
    """An error that a body tells is the report's, whatever the status, and counts as a failure."""
    body = b" \n \n" + json.dumps(value).encode()
    for answer in ({"content": body}, {"chunks": [body]}):
        made = exchange(status=200, **answer)
        report = made.build()
        assert (report.errorMessage, report.respPayload) == (message, value)
        assert report.statusCode == 200
        settings = Settings(base_url="http://x", sample_rate=0)
        assert bool(encode_report(Source(made), settings)) == (message is not None)


@pytest.mark.parametrize(
    "body, content_type, message",
    [
        ("<html><title>Sign in</title>", "text/html", "the answer is a page: Sign in"),
        ("\ufeff\n<!DOCTYPE html><h1>Down</h1>", "", "the answer is a page: Down"),
        ("<p>Down", "text/html; charset=utf-8", "the answer is a page: Down"),
        ("<?xml version='1.0'?><Message>No</Message>", "text/plain", "the answer is a page: No"),
        ("<Error>No</Error>", "application/xml", "the answer is a page: No"),
        ("<html></html>", "text/html", "the answer is a page: HTTP status 200 (an HTML page)"),
        ("<i>said</i>", "text/plain", None),
        ("it said <html>", "text/html", None),
        ("<?xml version='1.0'?><svg/>", "image/svg+xml", None),
    ],
)
def test_page_in_place_of_an_answer(body, content_type, message):
    """A page with status 200 is a failure; its title is the message, and the record has all."""
    raw = body.encode()
    for answer in ({"content": raw}, {"chunks": [raw]}):
        made = exchange(status=200, content_type=content_type, **answer)
        report = made.build()
        assert (report.errorMessage, report.respPayload) == (message, body)
        assert not made.is_known_success()


@pytest.mark.parametrize("part", ["<", "<title", "<a>", "<!--", "<script>", "<![CDATA[", "&#1"])
def test_pages_take_linear_time(part):
    """A page of any form is read in a moment."""
    began = time.thread_time()
    error_message("<html>" + part * 200_000, 502)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("status, message", [("failed", "m"), ("completed", None)])
def test_failed_background_response(status, message):
    """A background response that is found to have failed is a failure."""
    found = {**RESPONSE, "id": f"resp_{status}", "status": status, "background": True}
    found["error"] = message and {"code": "server_error", "message": message}
    made = exchange(status=200, content=json.dumps(found).encode(), polled_response_id=found["id"])
    assert not made.is_known_success()
    assert made.build().errorMessage == message


SOUND = bytes(range(256)) * 12


@pytest.mark.parametrize(
    "content, content_type, value",
    [
        (SOUND, "audio/mpeg", {"content_type": "audio/mpeg", "size": 3072}),
        (SOUND, "audio/pcm; rate=24000", {"content_type": "audio/pcm", "size": 3072}),
        (b"plain bytes", "audio/pcm", {"content_type": "audio/pcm", "size": 11}),
        (b"7", "image/png", {"content_type": "image/png", "size": 1}),
        (b"data: x\n\n\xff", "application/octet-stream", {
            "content_type": "application/octet-stream", "size": 10,
        }),
        (SOUND, "", {"size": 3072}),
        (b"a\0b", "", {"size": 3}),
        (SOUND, "application/x-new", {"content_type": "application/x-new", "size": 3072}),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
        (b"1\n00:00 a", "application/x-subrip", "1\n00:00 a"),
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"hello", "", "hello"),
        (b'{"a":1}', "audio/mpeg", {"a": 1}),
    ],
)  # fmt: skip
def test_binary_answers(content, content_type, value):
    """What is neither JSON nor text is named by type and size; text stays text."""
    for answer in ({"content": content}, {"chunks": [content[:5], content[5:]]}):
        report = exchange(status=200, content_type=content_type, **answer).build()
        assert (report.respPayload, report.errorMessage) == (value, None)


def test_binary_answers_as_base64():
    """Where it is asked for, a binary answer is kept whole, and `elide_media` knows it."""
    made = exchange(status=200, content_type="audio/mpeg", content=SOUND, keeps_binary=True)
    payload = made.build().respPayload
    assert base64.b64decode(payload.pop("base64")) == SOUND
    assert payload == {"content_type": "audio/mpeg", "size": 3072}
    assert elide_media(made.build()).respPayload["base64"] == "<base64, 3072 bytes>"


def test_binary_requests():
    """A request's body that is neither JSON nor text is named by its size."""
    assert exchange(request=SOUND).build().reqPayload == {"body": {"size": 3072}}


def test_metadata_of_a_body_wins():
    """Metadata in the body stands over what blocks around the call have set."""
    made = exchange(request=b'{"metadata":{"a":2}}', metadata={"a": 1, "b": 1})
    assert made.build().reqPayload == {"metadata": {"a": 2, "b": 1}}


@pytest.mark.parametrize("own", ['"x"', "7", "[1]"])
def test_metadata_that_is_no_object(own):
    """Metadata of a body that is no object is left as it was sent."""
    made = exchange(request=f'{{"metadata":{own}}}'.encode(), metadata={"b": 1})
    assert made.build().reqPayload == {"metadata": json.loads(own)}


def test_labels_and_options_that_share_values():
    """What a caller gives as Python values is bounded before it is encoded."""
    value = []
    for _ in range(40):
        value = [value, value]
    made = exchange(metadata={"a": value}, tags={"b": value}, request=None, request_options=value)
    began = time.thread_time()
    body = encode_report(Source(made), Settings(base_url="http://x"))
    assert time.thread_time() - began < 5
    assert body.count(b"<left out: repeated too often>") > 20


def test_tags():
    """Tags are scalars, the SDK's own cannot be set, and anything else is its JSON."""
    made = exchange(tags={"a": 1, "b": [1], "$sdk": "x", 3: None}).build().tags
    assert made == {
        "a": 1,
        "b": "[1]",
        "3": None,
        "$sdk": "openpipe-report",
        "$sdk.version": "0",
        "$endpoint": "chat/completions",
        "$retries": 0,
    }


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", ""])
def test_stream_by_content(content_type):
    """Whether a body is a stream is seen by its content, whatever its header says."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    for content in (f"data: {json.dumps(chunk)}\n\n", json.dumps({"object": "plain"})):
        report = exchange(status=200, chunks=[content.encode()], content_type=content_type).build()
        assert isinstance(report.respPayload, dict)
        assert report.errorMessage is None


def test_times():
    """`receivedAt` of a whole stream is its last byte's, of one that was cut its end's."""
    whole = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'
    times = {"seconds": 9.0, "seconds_to_last_byte": 1.5, "status": 200}
    assert exchange(chunks=[whole], **times).build().receivedAt == 1_001_500
    assert exchange(chunks=[], closed_early="x", **times).build().receivedAt == 1_009_000


SOURCE = {"base_url": "http://x"}


class Made:
    """A source of a given report."""

    size = 1
    trace_id = None

    def __init__(self, **fields):
        self.fields = fields

    def discard_if_succeeded(self):
        return False

    def build(self, sent=None):
        return Report(**self.fields)


def test_fit_cuts_the_largest_strings():
    """A report over the limit has its largest strings cut and marked; the others stay."""
    payload = {"small": "x" * 100, "image": "y" * 5000, "list": ["z" * 3000, 1]}
    body = fit(Report(reqPayload=payload, errorMessage="e"), 2048)
    assert len(body) <= 2048
    found = json.loads(body)
    assert found["reqPayload"]["small"] == "x" * 100
    assert found["reqPayload"]["image"].startswith("yyy")
    assert found["reqPayload"]["image"].endswith("of 5000 characters]")
    assert found["reqPayload"]["list"][1] == 1
    assert found["errorMessage"] == "e"


def test_fit_gives_up():
    """A report that is too large though cut is none."""
    fields = {"errorMessage": "e" * 900, "respPayload": list(range(900)), "tags": {"a": "b" * 900}}
    assert fit(Report(**fields), 64) is None
    assert len(fit(Report(**fields), 1024)) <= 1024


def test_repr_shows_no_payload():
    """Neither payloads nor messages are in a report's repr."""
    report = Report(reqPayload="secret", errorMessage="secret", tags={"secret": "secret"})
    assert "secret" not in repr(report)
    assert "secret" not in str(report)


FINISHED = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    "is_broken_off, last, message",
    [(True, b"", "ReadError"), (False, b"", None), (True, b"data: [DONE]\n\n", None)],
    ids=["network", "reader", "network-after-the-end"],
)
def test_end_between_finish_reason_and_done(is_broken_off, last, message):
    """A network that fails before the terminal event is told; a reader may leave there."""
    made = exchange(
        status=200,
        chunks=[FINISHED, last],
        closed_early="ReadError",
        is_broken_off=is_broken_off,
        content_type="text/event-stream",
    )
    assert made.build().errorMessage == message


def test_choice_that_never_began():
    """A stream without one of the choices that were asked for is not complete."""
    made = exchange(status=200, chunks=[FINISHED], request=b'{"n": 2}')
    assert made.build().errorMessage == "stream ended before completion"


@pytest.mark.parametrize("content_type", ["", "application/x-other"])
@pytest.mark.parametrize("padding", range(4))
def test_stream_without_a_known_type(content_type, padding):
    """A stream is told from binary data, wherever its characters of several bytes are."""
    delta = {"content": "a" * padding + "\U0001f600" * 1200}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
    chunk = json.dumps({"object": "chat.completion.chunk", "choices": [choice]}, ensure_ascii=False)
    body = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    made = exchange(status=200, chunks=[body], content_type=content_type)
    message = made.build().respPayload["choices"][0]["message"]
    assert message["content"] == delta["content"]


@pytest.mark.parametrize(
    "body, content_type, value",
    [
        (b"\xff\xfb\0\1", "application/json", {"content_type": "application/json", "size": 4}),
        (b"\xff\xfb\0\1", "text/plain", {"content_type": "text/plain", "size": 4}),
        (b"\xe9t\xe9", "text/plain", "\ufffdt\ufffd"),
        (b"a\0b", "text/plain", "a\0b"),
        (b"a\0b", "", {"size": 3}),
        ('{"a":1}'.encode("utf-16"), "application/json", {"a": 1}),
    ],
)
def test_type_that_the_bytes_contradict(body, content_type, value):
    """Audio that is called JSON or text is named by its size; text in a wrong charset is kept."""
    made = exchange(status=200, content=body, content_type=content_type)
    assert made.build().respPayload == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": ping\n\n",
        b"data: \n\n",
        b"event: error\n\n",
        b'data: {"id":"x","object":"chat.completion.chunk"}\n\n',
        b'data: {"id":"x","object":"text_completion","usage":{"total_tokens":1}}\n\n',
    ],
    ids=["empty", "ping", "no-data", "no-error", "no-choices", "usage"],
)
def test_stream_without_an_answer(body):
    """A stream that ends before any choice has begun is no success."""
    made = exchange(status=200, chunks=[body], content_type="text/event-stream; charset=utf-8")
    assert not made.is_known_success()
    assert made.build().errorMessage == "stream ended before completion"
