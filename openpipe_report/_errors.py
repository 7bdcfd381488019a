"""
The errors that this package raises into the caller's code.

    OpenPipeError
    └── SettingsError   a setting is wrong: raised at once, where the client is made

A captured call never raises any of them: what fails while reporting is counted and logged.
"""

from __future__ import annotations


class OpenPipeError(Exception):
    """Base of every error of this package."""


class SettingsError(OpenPipeError, ValueError):
    """A setting is wrong; the message names the setting and the remedy, never a key."""
