"""Type-checked, never run: uses the public names as a user would."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion
from openai.types.responses import Response, ResponseCompletedEvent
from pandas import DataFrame
from pydantic import BaseModel

import openpipe_report
from openpipe_report import (
    NOT_GIVEN,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    AzureOpenAI,
    CallOptions,
    Flushed,
    OpenAI,
    OpenPipeError,
    RateLimitError,
    Report,
    Reporter,
    Settings,
    SettingsArguments,
    Stats,
    Stream,
    Timeout,
    aflush,
    chain,
    elide_media,
    feedback,
    flush,
    instrument,
    mask_keys,
    mask_values,
    metadata,
    omit,
    read_reports,
    shutdown,
    span,
    stats,
    uninstrument,
    with_context,
)
from openpipe_report.testing import CapturedReports, MetadataUpdate, captured_reports
from openpipe_report.types import Completion as OurCompletion
from openpipe_report.types.chat import ChatCompletion as OurChatCompletion
from openpipe_report.types.chat import ChatCompletionMessageParam
from openpipe_report.types.responses import Response as OurResponse

if TYPE_CHECKING:
    from collections.abc import Iterator


class City(BaseModel):
    name: str


def sync(client: OpenAI) -> None:
    assert_type(client.chat.completions.create(model="m", messages=[]), ChatCompletion)
    assert_type(client.completions.create(model="m", prompt="p"), Completion)
    assert_type(client.responses.create(model="m", input="i"), Response)
    stream = client.chat.completions.create(model="m", messages=[], stream=True)
    assert_type(stream, openai.Stream[ChatCompletionChunk])
    assert_type(
        client.chat.completions.parse(model="m", messages=[], response_format=City),
        ParsedChatCompletion[City],
    )
    assert_type(client.copy(timeout=1), OpenAI)
    assert_type(client.with_options(openpipe={"base_url": "http://x"}), OpenAI)
    base: openai.OpenAI = client
    del base


async def asynchronous(client: AsyncOpenAI) -> None:
    assert_type(await client.chat.completions.create(model="m", messages=[]), ChatCompletion)
    assert_type(client.copy(), AsyncOpenAI)
    async with metadata(user="u", n=1, flag=True, none=None), span("s") as work:
        work.response = {"any": "thing"}
    assert_type(await aflush(), Flushed)
    assert_type(await Reporter().aflush(timeout=None), Flushed)


def reexported(client: OpenAI) -> None:
    message: ChatCompletionMessageParam = {"role": "user", "content": "Hi"}
    answer = client.chat.completions.create(model="m", messages=[message], timeout=NOT_GIVEN)
    assert_type(answer, OurChatCompletion)
    assert_type(answer, openpipe_report.types.chat.ChatCompletion)
    assert_type(client.completions.create(model="m", prompt="p"), OurCompletion)
    assert_type(client.responses.create(model="m", input="i"), OurResponse)
    stream: Stream[ChatCompletionChunk] = client.chat.completions.create(
        model="m", messages=[], stream=True, timeout=Timeout(1), seed=omit
    )
    del stream


def construct(reporter: Reporter) -> None:
    OpenAI(api_key="k", openpipe={"api_key": "k", "base_url": "http://x"}, reporter=None)
    AsyncOpenAI(reporter=reporter)
    azure: OpenAI = AzureOpenAI(azure_endpoint="https://x", api_version="v", reporter=reporter)
    AsyncAzureOpenAI(azure_endpoint="https://x", api_version="v")
    openpipe_report.BedrockOpenAI(aws_region="x", openpipe={})
    del azure
    settings: SettingsArguments = {"endpoints": {"responses"}, "spool": None, "metadata": {"a": 1}}
    OpenAI(openpipe=settings).copy(openpipe={"endpoints": "responses", "on_drop": alert})
    Reporter(**settings)


def judge(
    reporter: Reporter,
    chat: ChatCompletion,
    parsed: ParsedChatCompletion[City],
    response: Response,
    event: ResponseCompletedEvent,
) -> None:
    assert_type(feedback(chat, "up"), bool)
    feedback(parsed, "down", comment="Wrong", corrected="Right", reviewer="ada", score=0.5)
    feedback(response, None, comment=None, reporter=reporter)
    feedback("chatcmpl-1", checked=True)
    feedback(event, "up")
    feedback(chat.choices[0], "up")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    feedback(chat, "good")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    feedback(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def change_labels(reporter: Reporter) -> None:
    assert_type(reporter.update_metadata(completion_id="c", metadata={"a": 1, "b": None}), bool)
    reporter.update_metadata(
        completion_id="c",
        metadata={"a": ["b"]},  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    )


def misspelt() -> None:
    OpenAI(openpipe={"url": "x"})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Reporter(url="x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Reporter(senders="2")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def options_of_a_call(client: OpenAI) -> None:
    options: CallOptions = {"log_request": False, "metadata": {"a": 1}, "tags": {"b": None}}
    client.responses.create(model="m", input="i", extra_body={"openpipe": options})


def reading() -> None:
    rows = read_reports("reports.db", where={"user": "u-42", "n": 1}, since="7d", error=False)
    assert_type(rows, list[dict[str, Any]])
    assert_type(
        read_reports(Path("reports.db"), limit=10, since=datetime.now(timezone.utc)),
        list[dict[str, Any]],
    )
    frame = read_reports("http://127.0.0.1:8417", api_key="k", payloads=False, as_frame=True)
    assert_type(frame, DataFrame)
    read_reports("reports.db", were={"user": "u-42"})  # type: ignore[call-overload]


def reporting() -> None:
    reporter = Reporter(base_url="http://x", before_report=redact, on_drop=alert)
    assert_type(reporter.flush(1.5), Flushed)
    assert_type(reporter.shutdown(None), Flushed)
    assert_type(reporter.stats(), Stats)
    assert_type(reporter.stats().dropped, dict[str, int])
    assert_type(reporter.settings, Settings)
    assert_type(flush(), Flushed)
    assert_type(stats(), Stats)
    assert_type(shutdown(timeout=1), Flushed)
    with captured_reports() as reports:
        assert_type(reports, CapturedReports)
        same: list[Report] = reports
        assert_type(reports.updates, list[MetadataUpdate])
        assert_type(reports.updates[0].completion_id, str)
    del same
    with span("s", request=[1], metadata={"a": 1}, reporter=reporter), metadata(report=False):
        pass


@span("rank", tags={"a": 1}, report=False)
def rank(query: str, count: int = 3) -> list[str]:
    return [query] * count


@span("rank")
async def rank_async(query: str) -> list[str]:
    return [query]


@span("steps")
def steps(count: int) -> Iterator[int]:
    yield count


async def decorated() -> None:
    assert_type(rank("q", count=1), list[str])
    assert_type(await rank_async("q"), list[str])
    assert_type(next(steps(1)), int)
    assert_type(with_context(rank)("q"), list[str])
    rank(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def by_hand(reporter: Reporter) -> None:
    assert_type(reporter.report(statusCode=200, reqPayload={"a": [1]}, tags={"x": None}), bool)
    reporter.report(status=200)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def foreign(client: openai.AzureOpenAI) -> None:
    assert_type(instrument(client, openpipe={"enabled": False}), openai.AzureOpenAI)
    assert_type(uninstrument(client), openai.AzureOpenAI)


def hooks() -> None:
    Reporter(before_report=chain(elide_media, mask_values, mask_keys("a", pattern="b"), redact))


def redact(report: Report) -> Report | None:
    return report if report.errorMessage is None else None


def alert(reason: str, count: int) -> None:
    del reason, count


def errors(client: OpenAI) -> None:
    try:
        sync(client)
    except RateLimitError as error:
        assert_type(error.request_id, str | None)
    except OpenPipeError as error:
        raise SystemExit(str(error)) from error


def module_level() -> None:
    openpipe_report.api_key = "sk-..."
    assert_type(
        openpipe_report.chat.completions.create(model="m", messages=[]),
        ChatCompletion,
    )
