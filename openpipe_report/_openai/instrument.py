"""
instrument(): makes a client that somebody else has constructed report as ours do, in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import openai

from openpipe_report._delivery.destination import load_reporting_config
from openpipe_report._openai.classes import instrumented_class, is_reporting
from openpipe_report._openai.resources import reclass_resources, restore_resources

if TYPE_CHECKING:
    from openpipe_report._delivery.arguments import SettingsArguments
    from openpipe_report._delivery.reporter import Reporter

_Client = TypeVar("_Client")

_CLIENTS = (openai.OpenAI, openai.AsyncOpenAI)
_instrumented: dict[type, type] = {}
"""By class: the reporting one that stands for it."""


def instrument(
    client: _Client,
    *,
    openpipe: SettingsArguments | None = None,
    reporter: Reporter | None = None,
) -> _Client:
    """
    Make an existing openai client report each call, as our own clients do.

        llm = ChatOpenAI(model="gpt-4o-mini")
        instrument(llm.root_client)

    The client stays the same object, of a subclass of its class with the same name; it behaves as
    before. Copies that are made of it afterwards report, too; those made before do not. A client
    that reports already stays as it is, but for a destination that is given here. Not to be done
    while another thread is in the midst of a call of this client.

    Args:
        client: An instance of `openai.OpenAI`, `openai.AsyncOpenAI`, or of any subclass.
        openpipe: Any field of `Settings` by name; what is not given comes from the environment.
            `SettingsArguments` describes each.
        reporter: Where to report, in place of `openpipe`.

    Returns:
        The same client.

    Raises:
        TypeError: It is not a client of openai's.
        SettingsError: A setting is wrong.
    """
    kind = type(client)
    if not isinstance(client, _CLIENTS):
        raise TypeError(f"instrument() takes a client of openai's, got {kind.__name__}")
    reports = is_reporting(client)
    config = vars(client)["_openpipe_config"] if reports else None
    if config is not None and config.configured_reporter and openpipe is None and reporter is None:
        return client
    made = kind if reports else _replacing(kind)
    vars(client)["_openpipe_config"] = load_reporting_config(openpipe, reporter).for_client(
        client.base_url
    )
    object.__setattr__(client, "__class__", made)
    reclass_resources(client)
    return client


def _replacing(kind: type) -> type:
    # Of several threads' classes one stays.
    return _instrumented.get(kind) or _instrumented.setdefault(kind, instrumented_class(kind))


def uninstrument(client: _Client) -> _Client:
    """
    Undo `instrument()`; a client that was not instrumented is left as it is.

    Returns:
        The same client.
    """
    base = next((base for base, made in _instrumented.items() if type(client) is made), None)
    if base is not None:
        object.__setattr__(client, "__class__", base)
        vars(client).pop("_openpipe_config")
        restore_resources(client)
    return client
