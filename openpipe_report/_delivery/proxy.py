"""
Which proxy the environment names for a URL, by the rules that httpx's Client follows.

A transport that is made by hand knows none of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies


def proxy_for(url: str) -> str | None:
    """Return the proxy's URL, or None to connect directly."""
    proxies = getproxies()
    parts = urlsplit(url)
    host = parts.hostname or ""
    excluded = [entry.strip() for entry in proxies.get("no", "").split(",")]
    if any(_matches(entry, parts.scheme, host, parts.port) for entry in excluded if entry):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _matches(entry: str, scheme: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    if "://" in entry:
        parts = urlsplit(entry)
        if parts.scheme not in {"all", scheme} or parts.port not in {None, port}:
            return False
        return parts.hostname in {None, host}
    if _is_address(entry) or entry.lower() == "localhost":
        return entry.lower() == host
    name, _, wanted = entry.lower().partition(":")
    if wanted and wanted != str(port):
        return False
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
