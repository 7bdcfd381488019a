"""Long streams are kept whole, within the memory of the reporter's queue."""

from __future__ import annotations

import json
import threading

import pytest
from support.backend import HANG_GUARD, Backend
from support.shapes import chat_chunks, response, response_events

from openpipe_report import Reporter
from openpipe_report._capture.stream_buffer import StreamBuffer
from openpipe_report._delivery.accounting import Accounting
from openpipe_report._delivery.budget import Budget
from openpipe_report._report.folding import Folded, fold, join_around_gap, unfold

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
MIB = 1024 * 1024


@pytest.fixture
def backend():
    with Backend() as server:
        yield server


def events_of(chunks, padding=300):
    """Each chunk as a server-sent event of the length that the API's have."""
    return [
        f"data: {json.dumps({**chunk, 'obfuscation': 'x' * padding})}\n\n".encode()
        for chunk in chunks
    ]


def test_a_long_stream_is_whole(make_caller, scripted, backend):
    """The size limit is the report's: a stream whose raw form is larger is reported whole."""
    reporter = Reporter(base_url=backend.base_url, max_report_bytes=256 * 1024)
    caller = make_caller(reporter=reporter)
    words = " ".join(["word"] * 8000)
    chunks = chat_chunks(words)
    body = events_of(chunks)
    assert sum(map(len, body)) > 2 * MIB
    scripted.stream([b"".join(body[i : i + 50]) for i in range(0, len(body), 50)])
    read = caller.iterate(caller("chat.completions.create", **CHAT))
    assert len(read) == len(chunks)
    assert reporter.flush(HANG_GUARD)
    [post] = backend.posts
    [choice] = post.report["respPayload"]["choices"]
    assert choice["message"]["content"] == words
    assert choice["finish_reason"] == "stop"
    assert "errorMessage" not in post.report
    assert reporter.stats().pending_bytes == 0
    reporter.shutdown(0)


def test_many_long_streams_at_once(make_caller, scripted, backend):
    """What is folded leaves room: together they are larger than the queue."""
    reporter = Reporter(base_url=backend.base_url, max_queue_bytes=6 * MIB)
    caller = make_caller(reporter=reporter)
    words = " ".join(["word"] * 6000)
    body = events_of(chat_chunks(words))
    steps = [b"".join(body[i : i + 500]) for i in range(0, len(body), 500)]
    assert sum(map(len, body)) * 6 > 10 * MIB
    streams = []
    for _ in range(6):
        gate = threading.Event()
        scripted.stream([*steps[:-1], gate, steps[-1]])
        stream = caller("chat.completions.create", **CHAT)
        for _ in range(500 * (len(steps) - 1)):
            caller.next(stream)
        streams.append((gate, stream))
        settled = threading.Event()
        reporter.run_soon(settled.set)  # after the folds that were asked for
        assert settled.wait(HANG_GUARD)
    assert reporter.stats().pending_bytes < 6 * MIB
    for gate, stream in streams:
        gate.set()
        caller.iterate(stream)
    assert reporter.flush(HANG_GUARD)
    assert len(backend.posts) == 6
    for post in backend.posts:
        assert post.report["respPayload"]["choices"][0]["message"]["content"] == words
        assert "errorMessage" not in post.report
    reporter.shutdown(0)


def test_the_middle_is_given_up(make_caller, scripted, backend):
    """Where memory runs out, beginning and end are kept, and it is said."""
    reporter = Reporter(base_url=backend.base_url, max_queue_bytes=512 * 1024)
    caller = make_caller(reporter=reporter)
    chunks = chat_chunks(" ".join(f"word{n}" for n in range(6000)), usage={"total_tokens": 9})
    body = events_of(chunks)
    scripted.stream([b"".join(body[i : i + 50]) for i in range(0, len(body), 50)])
    assert len(caller.iterate(caller("chat.completions.create", **CHAT))) == len(chunks)
    assert reporter.flush(HANG_GUARD)
    [post] = backend.posts
    report = post.report
    assert report["errorMessage"].endswith("its middle is missing")
    [choice] = report["respPayload"]["choices"]
    assert choice["message"]["content"].startswith("word0 word1 ")
    assert choice["message"]["content"].endswith(" word5999")
    assert choice["finish_reason"] == "stop"
    assert report["respPayload"]["usage"] == {"total_tokens": 9}
    assert reporter.stats().pending_bytes == 0
    reporter.shutdown(0)


def test_the_terminal_event_is_the_answer(make_caller, scripted, backend):
    """A Responses stream whose middle is missing is whole: its terminal event is kept."""
    reporter = Reporter(base_url=backend.base_url, max_queue_bytes=200 * 1024)
    caller = make_caller(reporter=reporter)
    text = " ".join(f"word{n}" for n in range(6000))
    scripted.stream(
        [
            f"event: {event['type']}\ndata: {json.dumps({**event, 'pad': 'x' * 300})}\n\n".encode()
            for event in response_events(text)
        ],
        done=False,
    )
    caller.iterate(caller("responses.create", model="m", input="Hi", stream=True))
    assert reporter.flush(HANG_GUARD)
    [post] = backend.posts
    assert post.report["respPayload"] == response(text)
    assert "errorMessage" not in post.report
    reporter.shutdown(0)


def test_folding():
    """What is folded comes back as it was, and takes less; what is compressed stays raw."""
    pieces = [b'data: {"content": "%d"}\n\n' % number for number in range(1000)]
    folded = fold(pieces)
    assert isinstance(folded, Folded)
    assert len(folded) < sum(map(len, pieces)) / 4
    assert unfold([folded, b"end"]) == b"".join(pieces) + b"end"
    assert fold([bytes(range(256))]) is None


@pytest.mark.parametrize(
    "head, tail, joined",
    [
        (b"data: 1\n\ndata: 2", b"a: 8\n\ndata: 9\n\n", b"data: 1\n\n\n\ndata: 9\n\n"),
        (b"data: 1\r\n\r\ndat", b"8\r\n\r\ndata: 9", b"data: 1\r\n\r\n\n\ndata: 9"),
        (b"data: 1\n\n", b"no end", b"data: 1\n\n\n\n"),
        (b"", b"x\n\ndata: 9", b"\n\ndata: 9"),
    ],
)
def test_joining_around_a_gap(head, tail, joined):
    """Events that are not whole are left out."""
    assert join_around_gap(head, tail) == joined


def test_folding_beside_a_reader():
    """Pieces are folded while others come: nothing is lost, doubled or out of order."""
    accounting = Accounting(Budget(10, 64 * MIB))
    reservation = accounting.reserve()
    tasks, over = [], threading.Event()

    def fold_on_and_on():
        while not over.is_set() or tasks:
            if tasks:
                tasks.pop()()

    thread = threading.Thread(target=fold_on_and_on)
    thread.start()
    buffer = StreamBuffer(
        reservation, tasks.append, overhead=1000, max_bytes=64 * MIB, max_tail=MIB
    )
    sent = [b"%06d" % number + b"x" * 600 for number in range(40_000)]
    for chunk in sent:
        buffer.append(chunk)
    over.set()
    thread.join(HANG_GUARD)
    assert unfold(buffer.pieces) == b"".join(sent)
    assert any(isinstance(piece, Folded) for piece in buffer.pieces)
    held = accounting.stats(open_streams=1, threads=0).pending_bytes
    assert 0 < held < sum(map(len, sent))  # how much less is the threads' to decide
    reservation.close()
    assert accounting.stats(open_streams=0, threads=0).pending_bytes == 0
