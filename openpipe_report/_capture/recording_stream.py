"""
Recording streams: a response's byte stream, wrapped so that an observer sees each chunk read.

A recording stream has the byte stream class of the response's own library (httpx, httpx2, or a
subclass of theirs), forwards unknown attributes, and passes everything on unchanged: chunks,
errors, cancellation, close. Only its first iteration is recorded: openai's async Stream drains the
rest after `[DONE]` in a second one.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

CLOSED_EARLY = "stream closed before completion"


class StreamObserver(Protocol):
    """
    Receives each chunk of a stream, and its end.

    `on_read` and `on_chunk` never raise: they are called for each chunk, without a guard.
    """

    @property
    def on_read(self) -> Callable[[], None]:
        """Called when the reader asks for the next chunk."""
        ...

    def on_chunk(self, chunk: bytes) -> None:
        """A chunk has come over the network."""
        ...

    def end(self, reason: str | None = None) -> None:
        """The bytes ran out, or reading them stopped for a reason; a second end changes nothing."""
        ...

    def on_close(self) -> None:
        """The stream was closed by its reader."""
        ...

    def on_stream_error(self, error: BaseException) -> None:
        """Reading failed or was cancelled."""
        ...


def record_stream(response: Any, observer: StreamObserver) -> Any:
    """Wrap `response.stream`, sync or async, for an observer."""
    response_type: type = type(response)
    sync_class, async_class = _stream_classes(response_type)
    kind = async_class if is_async_stream(response.stream) else sync_class
    return kind(response.stream, observer)


def is_async_stream(stream: Any) -> bool:
    """Whether a response's stream is read by `async for` only; a body in memory is read by both."""
    return hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__")


@lru_cache(maxsize=64)
def _stream_classes(response_type: type) -> tuple[type, type]:
    """Make the two classes for a response's library, found along its MRO."""
    for cls in response_type.__mro__:
        library = sys.modules.get(cls.__module__.partition(".")[0])
        sync_base = getattr(library, "SyncByteStream", None)
        async_base = getattr(library, "AsyncByteStream", None)
        if isinstance(sync_base, type) and isinstance(async_base, type):
            return (
                type("SyncRecordingStream", (_SyncRecordingStream, sync_base), {}),
                type("AsyncRecordingStream", (_AsyncRecordingStream, async_base), {}),
            )
    raise TypeError(f"no byte stream classes are known for {response_type.__qualname__}")


class _RecordingStream:
    def __init__(self, stream: Any, observer: StreamObserver) -> None:
        self._stream = stream
        self._observer = observer
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # not set: a copy without __init__
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __del__(self) -> None:
        # The stream was abandoned. Called by the garbage collector, under any lock.
        observer = self.__dict__.get("_observer")
        if observer is not None:
            run_guarded("ending a stream", observer.end, CLOSED_EARLY)

    def _end(self, error: BaseException | None = None) -> None:
        """Report the end of the iteration: without an error, or with one, raised or thrown in."""
        if error is None:
            run_guarded("ending a stream", self._observer.end)
        elif isinstance(error, GeneratorExit):
            run_guarded("ending a stream", self._observer.end, CLOSED_EARLY)
        else:
            run_guarded("ending a stream", self._observer.on_stream_error, error)

    def _closed(self) -> None:
        run_guarded("ending a stream", self._observer.on_close)


class _SyncRecordingStream(_RecordingStream):
    def __iter__(self) -> Iterator[bytes]:
        if self._begun:
            yield from self._stream
            return
        self._begun = True
        on_read, on_chunk = self._observer.on_read, self._observer.on_chunk
        try:
            on_read()
            for chunk in self._stream:
                on_chunk(chunk)
                yield chunk
                on_read()
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._closed()


class _AsyncRecordingStream(_RecordingStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, self._begun = not self._begun, True
        source = self._stream.__aiter__()
        on_read, on_chunk = self._observer.on_read, self._observer.on_chunk
        try:
            if first:
                on_read()
                async for chunk in source:
                    on_chunk(chunk)
                    yield chunk
                    on_read()
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
                # RuntimeError: the event loop is closing the generator already.
                with suppress(RuntimeError):
                    await aclose()
        if first:
            self._end()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._closed()
