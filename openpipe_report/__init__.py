"""
A drop-in for the openai package that reports every completion call.

    from openpipe_report import OpenAI      # was: from openai import OpenAI

Importing it starts no thread, opens no socket and reads no environment. openai itself is imported
when a name is used that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._openai.facade import install as _install
from openpipe_report._version import VERSION as _VERSION

__version__ = _VERSION

_SOURCES = {
    "AsyncAzureOpenAI": "._openai.module",
    "AsyncClient": "._openai.module",
    "AsyncOpenAI": "._openai.module",
    "AzureOpenAI": "._openai.module",
    "CallOptions": "._openai.call_options",
    "Client": "._openai.module",
    "Flushed": "._delivery.flushes",
    "OpenAI": "._openai.module",
    "OpenPipeError": "._errors",
    "Report": "._report.model",
    "Reporter": "._delivery.reporter",
    "Settings": "._settings",
    "SettingsArguments": "._delivery.arguments",
    "SettingsError": "._errors",
    "Stats": "._delivery.stats",
    "aflush": "._delivery.registry:aflush_all",
    "chain": "._report.redaction",
    "elide_media": "._report.redaction",
    "flush": "._delivery.registry:flush_all",
    "instrument": "._openai.instrument",
    "mask_keys": "._report.redaction",
    "mask_values": "._report.redaction",
    "metadata": "._context.metadata",
    "read_reports": "._reading.reports",
    "shutdown": "._delivery.registry:shutdown_all",
    "span": "._openai.decorators",
    "stats": "._delivery.registry:total_stats",
    "uninstrument": "._openai.instrument",
    "with_context": "._openai.decorators",
}
"""Where our names are; each is imported at its first use. All others are openai's."""

if TYPE_CHECKING:  # "as" says that the name is public
    from openpipe_report._context.metadata import metadata as metadata
    from openpipe_report._delivery import registry as _registry
    from openpipe_report._delivery.arguments import SettingsArguments as SettingsArguments
    from openpipe_report._delivery.flushes import Flushed as Flushed
    from openpipe_report._delivery.reporter import Reporter as Reporter
    from openpipe_report._delivery.stats import Stats as Stats
    from openpipe_report._errors import OpenPipeError as OpenPipeError
    from openpipe_report._errors import SettingsError as SettingsError
    from openpipe_report._openai.call_options import CallOptions as CallOptions
    from openpipe_report._openai.decorators import span as span
    from openpipe_report._openai.decorators import with_context as with_context
    from openpipe_report._openai.instrument import instrument as instrument
    from openpipe_report._openai.instrument import uninstrument as uninstrument
    from openpipe_report._reading.reports import read_reports as read_reports
    from openpipe_report._report.model import Report as Report
    from openpipe_report._report.redaction import chain as chain
    from openpipe_report._report.redaction import elide_media as elide_media
    from openpipe_report._report.redaction import mask_keys as mask_keys
    from openpipe_report._report.redaction import mask_values as mask_values
    from openpipe_report._settings import Settings as Settings
    from openpipe_report._signatures import *  # noqa: F403 - what the facade gives at run time

    from . import types as types

    aflush = _registry.aflush_all
    flush = _registry.flush_all
    shutdown = _registry.shutdown_all
    stats = _registry.total_stats

_install(__name__, _SOURCES)
