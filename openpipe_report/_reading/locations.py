"""Where stored reports are: a path, the URL of a database, or that of a receiver."""

from __future__ import annotations

import os
import re

_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*@")


def is_receiver(location: str) -> bool:
    """Return whether a location is the URL of a receiver."""
    return location.lower().startswith(("http://", "https://"))


def is_url(location: str) -> bool:
    """Return whether a location is a URL, and not a path."""
    return "://" in location


def display_name(location: str | os.PathLike[str]) -> str:
    """Return a path as it is, and a URL without its password."""
    text = os.fspath(location)
    return _PASSWORD.sub(r"\1:***@", text) if is_url(text) else text
