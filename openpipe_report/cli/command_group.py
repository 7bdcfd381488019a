"""CommandGroup: how every command ends where its output can no longer be written."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from openpipe_report.cli.output import discard_output

if TYPE_CHECKING:
    from collections.abc import Generator


class CommandGroup(TyperGroup):
    """The commands; one whose output nobody reads any more, as of `| head`, ends with success."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options before the command, and print help."""
        with ending_at_closed_pipe():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with ending_at_closed_pipe():
            return super().invoke(ctx)


@contextmanager
def ending_at_closed_pipe() -> Generator[None, None, None]:
    """Exit with 0 if nobody reads stdout any more."""
    try:
        yield
    except BrokenPipeError:
        discard_output()
        sys.exit(0)
