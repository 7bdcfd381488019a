"""Options that several commands share are declared once, as the parameters of a function."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., None]


def share_options(**readers: Callable[..., Any]) -> Callable[[Command], Command]:
    """
    Give a command the options of other functions.

    Args:
        readers: Functions whose parameters become options of the command, by the name of the
            command's parameter that gets what they return. They run before the command, and raise
            `typer.BadParameter` for a wrong value.

    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        options = {name: _parameters(reader) for name, reader in readers.items()}

        @functools.wraps(command)
        def run(**given: Any) -> None:
            for name, reader in readers.items():
                values = {one.name: given.pop(one.name) for one in options[name]}
                given[name] = reader(**values)
            command(**given)

        shown = [one for name, one in own.parameters.items() if name not in readers]
        shown += [one for parameters in options.values() for one in parameters]
        run.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in shown}
        return run

    return decorate


def _parameters(reader: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(reader, eval_str=True).parameters.values()
    return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]
