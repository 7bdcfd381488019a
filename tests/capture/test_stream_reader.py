"""Whose a stream is for `flush()`: that of whoever reads it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.shapes import chat_chunks

import openpipe_report
from openpipe_report.testing import captured_reports

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
TEXT = "One two three"


def text_of(report):
    return report.respPayload["choices"][0]["message"]["content"]


async def plain(make):
    return await make()


async def gathered(make):
    (stream,) = await asyncio.gather(make())
    return stream


async def waited_for(make):
    return await asyncio.wait_for(make(), 30)


async def in_a_task(make):
    return await asyncio.create_task(make())


async def step_by_step(stream):
    return await asyncio.wait_for(stream.__anext__(), 30)


async def in_one_task(stream):
    return await stream.__anext__()


async def task_by_task(stream):
    return await asyncio.create_task(stream.__anext__())


@pytest.mark.parametrize("step", [in_one_task, step_by_step, task_by_task])
@pytest.mark.parametrize("begin", [plain, gathered, waited_for, in_a_task])
async def test_read_in_another_task(scripted, begin, step):
    """A flush of another thread leaves a stream alone, in whichever task it was opened and read."""
    scripted.stream(chat_chunks(TEXT))
    with captured_reports() as reports:
        async with openpipe_report.AsyncOpenAI(
            base_url=scripted.base_url, api_key="sk-test", max_retries=0
        ) as client:
            stream = await begin(lambda: client.chat.completions.create(**CHAT))
            reporter = client._openpipe_config.reporter
            await asyncio.to_thread(reporter.flush, 0)
            read = 0
            while True:
                try:
                    await step(stream)
                except StopAsyncIteration:
                    break
                read += 1
                await asyncio.to_thread(reporter.flush, 0)
                await asyncio.create_task(flush_here(reporter))
    assert read == len(chat_chunks(TEXT))
    [report] = reports
    assert (text_of(report), report.errorMessage) == (TEXT, None)


async def flush_here(reporter):
    reporter.flush(0)


def test_opened_by_a_thread_that_has_ended(scripted):
    """A stream is not cut for the end of the thread that opened it."""
    scripted.stream(chat_chunks(TEXT))
    with (
        captured_reports() as reports,
        openpipe_report.OpenAI(base_url=scripted.base_url, api_key="sk-test") as client,
    ):
        with ThreadPoolExecutor(1) as pool:
            stream = pool.submit(client.chat.completions.create, **CHAT).result()
        reporter = client._openpipe_config.reporter
        reporter.flush(0)
        for _ in stream:
            flusher = threading.Thread(target=reporter.flush, args=(0,))
            flusher.start()
            flusher.join()
    [report] = reports
    assert (text_of(report), report.errorMessage) == (TEXT, None)


def test_left_by_a_thread_that_has_ended(scripted):
    """A stream that was read in part by a thread that has ended is reported as it stands."""
    scripted.stream(chat_chunks(TEXT))
    with (
        captured_reports() as reports,
        openpipe_report.OpenAI(base_url=scripted.base_url, api_key="sk-test") as client,
    ):
        stream = client.chat.completions.create(**CHAT)
        reader = threading.Thread(target=next, args=(stream,))
        reader.start()
        reader.join()
        assert reports == []
        client._openpipe_config.reporter.flush(0)
        assert [report.errorMessage for report in reports] == ["stream still open at flush"]
        stream.close()


def test_stepped_by_a_pool(scripted):
    """A pool's threads step a stream in turn; one of them flushes between two steps."""
    scripted.stream(chat_chunks(TEXT))
    with (
        captured_reports() as reports,
        openpipe_report.OpenAI(base_url=scripted.base_url, api_key="sk-test") as client,
        ThreadPoolExecutor(1) as pool,
    ):
        stream = pool.submit(client.chat.completions.create, **CHAT).result()
        reporter = client._openpipe_config.reporter
        while pool.submit(next, stream, None).result() is not None:
            pool.submit(reporter.flush, 0).result()
    [report] = reports
    assert (text_of(report), report.errorMessage) == (TEXT, None)
