"""What the workloads need to know about a tool that records calls."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> None:
    pass


def _unchanged(transport: Any) -> Any:
    return transport


@dataclass(frozen=True)
class Tool:
    """A tool that is set up; `client(**arguments)` takes what `openai.OpenAI` does."""

    client: Callable[..., Any]
    async_client: Callable[..., Any]
    flush: Callable[[], object] = _nothing
    """Returns when all recorded calls are delivered."""
    wrap: Callable[[Any], Any] = _unchanged
    """Wraps the transport that answers the calls."""


def set_up(module: str, sink: str) -> Tool:
    """Set up a tool of `comparison.tools` that sends to `sink` (`http://host:port`)."""
    return import_module(f"comparison.tools.{module}").set_up(sink)
