"""Where stored reports are: a path, the URL of a database, or that of a receiver."""

from __future__ import annotations

import os
import re

# Up to the last @, as a password may have unescaped characters.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&#]*", re.IGNORECASE)


def is_receiver(location: str) -> bool:
    """Return whether a location is the URL of a receiver."""
    return location.lower().startswith(("http://", "https://"))


def is_url(location: str) -> bool:
    """Return whether a location is a URL, and not a path."""
    return "://" in location


def display_name(location: str | os.PathLike[str]) -> str:
    """Return a path as it is, and a URL without its password."""
    text = os.fspath(location)
    if not is_url(text):
        return text
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
