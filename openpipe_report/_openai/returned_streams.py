"""
openai's streams, and the managers that open them, where a decorated function returns them.

Objects keep their classes. A stream's `_iterator` is wrapped. The byte stream of its response is
recorded, to see that the response was closed, or read without the stream. A manager's request
function is wrapped. If openai has no such attribute, the object is a result.
"""

from __future__ import annotations

import functools
import inspect
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

from openpipe_report._capture.recording_stream import record_stream
from openpipe_report._context.generators import (
    async_generator_in_run,
    generator_in_run,
    named_as,
)
from openpipe_report._context.run import LEFT_EARLY, ActivatedScope, Run, UnfinishedError
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_READ, NEVER_ENTERED = "never read", "never entered"

_MANAGERS = ("StreamManager", "ResponseContextManager")
"""How the names of openai's classes end whose objects send a request when they are entered."""

_RUN = "_openpipe_run"
"""The attribute of a stream that holds the outermost run that it belongs to."""


def find_wrapper(kind: type) -> Callable[[Run, Any], None] | None:
    """Find the function that keeps a run open for a class of openai's; None for other classes."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "openai":
            if base.__name__.endswith(_MANAGERS):
                return wrap_manager
            if base.__name__.endswith("Stream"):
                return wrap_stream
    return None


def wrap_stream(run: Run, stream: Any) -> None:
    """Keep a run open until a stream has been read or closed."""
    attributes = vars(stream)
    iterator, known = attributes.get("_iterator"), attributes.get(_RUN)
    if not isinstance(iterator, (GeneratorType, AsyncGeneratorType)):
        run.finish(None, stream)
        return
    if known is not None and run.number > known.number:  # the function returns one stream again
        run.finish(None, stream)
        return
    if isinstance(iterator, GeneratorType):
        wrapped = generator_in_run(run, iterator)
    else:
        wrapped = async_generator_in_run(run, iterator)
    run.wait_for(iterator, NEVER_READ)
    attributes[_RUN] = run
    stream._iterator = wrapped  # noqa: SLF001 - openai's methods read it
    response = getattr(stream, "response", None) or getattr(stream, "_response", None)
    run_guarded("recording a response", _record_body, response, _BodyObserver(run, wrapped))


def wrap_manager(run: Run, manager: Any) -> None:
    """Send a manager's request inside a run, and keep that open until the answer has been read."""
    for name, request in list(vars(manager).items()):
        if name.endswith("__api_request") or name in {"_request_func", "_api_request"}:
            run.wait_for(request, NEVER_ENTERED)
            if inspect.iscoroutine(request):
                setattr(manager, name, named_as(request, _await_answer(run)))
            else:
                setattr(manager, name, functools.partial(_request_answer, run, request))
            return
    run.finish(None, manager)


def _request_answer(run: Run, request: Callable[[], Any]) -> Any:
    run.begin_pending()
    with ActivatedScope(run.scope, run):
        answer = request()
    run_guarded("recording a response", _wrap_answer, run, answer)
    return answer


async def _await_answer(run: Run) -> Any:
    request = run.begin_pending()
    with ActivatedScope(run.scope, run):
        answer = await request
    run_guarded("recording a response", _wrap_answer, run, answer)
    return answer


def _wrap_answer(run: Run, answer: Any) -> None:
    if find_wrapper(type(answer)) is wrap_stream:
        wrap_stream(run, answer)
    elif answer.http_response.is_closed:  # its body is in memory: a mock's, a cache's
        run.finish(None, None)
    else:
        _record_body(answer.http_response, _BodyObserver(run))


def _record_body(response: Any, observer: _BodyObserver) -> None:
    response.stream = record_stream(response, observer)


class _BodyObserver:
    """
    Ends a run when the body of a response ends.

    Args:
        run: The run.
        iterator: The generator through which a stream reads the body. During one of its steps, the
            generator ends the run itself: openai's streams close the response before their own end.
    """

    def __init__(self, run: Run, iterator: Any = None) -> None:
        self._run = run
        self._iterator = iterator

    def on_read(self) -> None:
        run_guarded("recording a reader", self._run.begin_pending)

    def on_chunk(self, chunk: bytes) -> None:
        pass

    def end(self, reason: str | None = None) -> None:
        if reason is None:
            self._finish(None)
        elif not self._is_stepping():  # the iteration was given up, or the response collected
            self._run.abandon()

    def on_close(self) -> None:
        # The `with` of a response without a stream closes it, however much of it was read.
        self._finish(None if self._iterator is None else UnfinishedError(LEFT_EARLY))

    def on_stream_error(self, error: BaseException) -> None:
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if not self._is_stepping():
            self._run.finish(error, self._run.items)

    def _is_stepping(self) -> bool:
        iterator = self._iterator
        return getattr(iterator, "gi_running", False) or getattr(iterator, "ag_running", False)
