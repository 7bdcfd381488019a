"""Speech, uploads and their like, from a client's call to the report."""

from __future__ import annotations

import io

import pytest
from support.callers import httpx_of_openai

from openpipe_report import OpenAI, Reporter
from openpipe_report.testing import captured_reports

HTTPX = httpx_of_openai()
SOUND = bytes(range(256)) * 12
NAMED = {"content_type": "audio/mpeg", "size": 3072}


def answer(_):
    return HTTPX.Response(200, content=SOUND, headers={"content-type": "audio/mpeg"})


@pytest.mark.parametrize("binary_answers", ["describe", "base64"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_speech(binary_answers, streamed):
    """Speech is named by its type and size; its bytes are kept if a setting asks for them."""
    reporter = Reporter(base_url="http://x", endpoints=["audio"], binary_answers=binary_answers)
    http_client = HTTPX.Client(transport=HTTPX.MockTransport(answer))
    arguments = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    with (
        captured_reports() as reports,
        OpenAI(api_key="k", reporter=reporter, http_client=http_client) as client,
    ):
        if streamed:
            with client.audio.speech.with_streaming_response.create(**arguments) as response:
                assert response.read() == SOUND
        else:
            assert client.audio.speech.create(**arguments).content == SOUND
    [report] = reports
    assert report.errorMessage is None
    assert len(report.respPayload.pop("base64", "")) == (4096 if binary_answers == "base64" else 0)
    assert report.respPayload == NAMED


UPLOADS = {
    "bytes": (b"abc", {"file": {"size": 3}}),
    "named": (("a.mp3", b"abc"), {"file": {"filename": "a.mp3", "size": 3}}),
    "typed": (
        ("a.mp3", b"abc", "audio/mpeg"),
        {"file": {"filename": "a.mp3", "content_type": "audio/mpeg", "size": 3}},
    ),
    "open": (("a.mp3", io.BytesIO(b"abc")), {"file": {"filename": "a.mp3"}}),
}


@pytest.mark.parametrize("file, described", UPLOADS.values(), ids=UPLOADS)
def test_upload(file, described):
    """An uploaded file is named by what is known of it; its bytes are not in the report."""
    transport = HTTPX.MockTransport(lambda _: HTTPX.Response(200, json={"text": "Hello"}))
    reporter = Reporter(base_url="http://x", endpoints=["audio"])
    http_client = HTTPX.Client(transport=transport)
    with (
        captured_reports() as reports,
        OpenAI(api_key="k", reporter=reporter, http_client=http_client) as client,
    ):
        client.audio.transcriptions.create(model="whisper-1", file=file)
    [report] = reports
    assert report.reqPayload == {"model": "whisper-1", **described}


def test_uploads():
    """Several files of one field are a list."""
    transport = HTTPX.MockTransport(lambda _: HTTPX.Response(200, json={"data": []}))
    reporter = Reporter(base_url="http://x", endpoints=["images"])
    http_client = HTTPX.Client(transport=transport)
    with (
        captured_reports() as reports,
        OpenAI(api_key="k", reporter=reporter, http_client=http_client) as client,
    ):
        images = [("a.png", b"1"), ("b.png", b"22"), ("c.png", b"333")]
        try:
            client.images.edit(model="m", prompt="p", image=images)
        except RuntimeError as error:  # openai's own check of its files
            pytest.skip(f"this openai takes one image: {error}")
    [report] = reports
    assert report.reqPayload == {
        "model": "m",
        "prompt": "p",
        "image[]": [{"filename": name, "size": len(content)} for name, content in images],
    }
