"""
A drop-in for the openai package that reports every completion call.

    from openpipe_report import OpenAI      # was: from openai import OpenAI

Importing it starts no thread, opens no socket and reads no environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai as _upstream

from openpipe_report._context.decorators import with_context
from openpipe_report._context.scope import metadata
from openpipe_report._context.span import span
from openpipe_report._delivery.accounting import Flushed, Stats
from openpipe_report._delivery.registry import flush_all as flush
from openpipe_report._delivery.registry import shutdown_all as shutdown
from openpipe_report._delivery.reporter import Reporter
from openpipe_report._errors import OpenPipeError, SettingsError
from openpipe_report._openai import module as _module
from openpipe_report._openai.instrument import instrument, uninstrument
from openpipe_report._report.model import Report
from openpipe_report._report.redaction import chain, elide_media, mask_keys
from openpipe_report._settings import Settings
from openpipe_report._version import VERSION as __version__  # noqa: N811 - the usual name

if TYPE_CHECKING:
    from openpipe_report._signatures import *  # noqa: F403 - what `_module.Module` gives at runtime
else:
    Client = OpenAI = _module.OpenAI
    AsyncClient = AsyncOpenAI = _module.AsyncOpenAI
    AzureOpenAI = _module.drop_in_for(_upstream.AzureOpenAI)
    AsyncAzureOpenAI = _module.drop_in_for(_upstream.AsyncAzureOpenAI)

__all__ = [
    "AsyncAzureOpenAI",
    "AsyncClient",
    "AsyncOpenAI",
    "AzureOpenAI",
    "Client",
    "Flushed",
    "OpenAI",
    "OpenPipeError",
    "Report",
    "Reporter",
    "Settings",
    "SettingsError",
    "Stats",
    "chain",
    "elide_media",
    "flush",
    "instrument",
    "mask_keys",
    "metadata",
    "shutdown",
    "span",
    "uninstrument",
    "with_context",
]
__all__ += [name for name in _upstream.__all__ if name not in __all__ and name != "__version__"]

_module.install(__name__)
