"""Speech and its like, from a client's call to the report."""

from __future__ import annotations

import httpx
import pytest

from openpipe_report import OpenAI, Reporter
from openpipe_report.testing import captured_reports

SOUND = bytes(range(256)) * 12
NAMED = {"content_type": "audio/mpeg", "size": 3072}


def answer(_):
    return httpx.Response(200, content=SOUND, headers={"content-type": "audio/mpeg"})


@pytest.mark.parametrize("binary_answers", ["describe", "base64"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_speech(binary_answers, streamed):
    """Speech is named by its type and size; its bytes are kept if a setting asks for them."""
    reporter = Reporter(base_url="http://x", endpoints=["audio"], binary_answers=binary_answers)
    http_client = httpx.Client(transport=httpx.MockTransport(answer))
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
