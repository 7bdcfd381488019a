"""
The tees: a response's byte stream, wrapped so that a Call sees each chunk that is read.

A tee is of the byte stream class of the response's own library (httpx, httpx2, or a subclass of
theirs), forwards what it does not know, and lets everything pass as it came: chunks, errors,
cancellation, close. Only its first iteration is recorded: openai's async Stream drains what is
left after `[DONE]` in a second one.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openpipe_report._log import guarded, note_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openpipe_report._capture.call import Call

LEFT = "stream closed before completion"


def tee(response: Any, call: Call) -> Any:
    """Wrap `response.stream`, sync or async, for a call."""
    kind: type = type(response)
    sync_class, async_class = _tee_classes(kind)
    kind_of_tee = async_class if is_async_stream(response.stream) else sync_class
    return kind_of_tee(response.stream, call)


def is_async_stream(stream: Any) -> bool:
    """Whether a response's stream is read by `async for`; a body in memory can be read by both."""
    return hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__")


@lru_cache(maxsize=64)
def _tee_classes(response_type: type) -> tuple[type, type]:
    """Make the two classes for a response's library, found along its MRO."""
    for cls in response_type.__mro__:
        library = sys.modules.get(cls.__module__.partition(".")[0])
        sync_base = getattr(library, "SyncByteStream", None)
        async_base = getattr(library, "AsyncByteStream", None)
        if isinstance(sync_base, type) and isinstance(async_base, type):
            return (
                type("SyncTee", (_SyncTee, sync_base), {}),
                type("AsyncTee", (_AsyncTee, async_base), {}),
            )
    raise TypeError(f"{response_type.__qualname__} is of no httpx that is known")


class _Tee:
    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call = call
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # not there yet: copied without __init__
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __del__(self) -> None:
        # A stream that was left and collected. Runs anywhere, in the midst of any lock.
        call = self.__dict__.get("_call")
        if call is not None:
            guarded("ending a stream", call.end, LEFT)

    def _record(self, chunk: bytes) -> None:
        try:  # not guarded(): this is once a chunk
            self._call.receive(chunk)
        except Exception:  # noqa: BLE001 - the guard
            note_fault("taking a chunk")

    def _end(self, error: BaseException | None = None) -> None:
        """The iteration ends: by itself, by the stream's error, or by one thrown into it."""
        if error is None:
            guarded("ending a stream", self._call.end)
        elif isinstance(error, GeneratorExit):
            guarded("ending a stream", self._call.end, LEFT)
        else:
            guarded("ending a stream", self._call.end_by_error, error)

    def _closed(self) -> None:
        guarded("ending a stream", self._call.end_by_close)


class _SyncTee(_Tee):
    def __iter__(self) -> Iterator[bytes]:
        if self._begun:
            yield from self._stream
            return
        self._begun = True
        record = self._record
        try:
            for chunk in self._stream:
                record(chunk)
                yield chunk
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._closed()


class _AsyncTee(_Tee):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, self._begun = not self._begun, True
        source = self._stream.__aiter__()
        record = self._record
        try:
            if first:
                async for chunk in source:
                    record(chunk)
                    yield chunk
            else:
                async for chunk in source:
                    yield chunk
        except BaseException as error:
            if first:
                self._end(error)
            raise
        finally:
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                # The event loop may be closing it already, as one of the generators it found.
                with suppress(RuntimeError):
                    await aclose()
        if first:
            self._end()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._closed()
