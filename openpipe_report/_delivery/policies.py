"""
Whether all reporters that this process has made agree on where reports go and past which hook.

Feedback is about a call of one of them, which one is not known. Those that are gone count as well:
a client that lives for one request is, by the time of the feedback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._delivery.fork_safe_lock import ForkSafeLock

if TYPE_CHECKING:
    from openpipe_report._settings import Settings


class _Policies:
    """The policy of the first reporter, and whether another one has differed from it."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.first: tuple[str, Any, Any] | None = None
        """URL, API key, `before_report`."""
        self.differ = False


_policies = _Policies()


def note_policy(settings: Settings) -> None:
    """Note that a reporter goes by these settings."""
    if not settings.enabled:
        return
    url, key, hook = settings.report_url, settings.api_key, settings.before_report
    with _policies.lock:
        first = _policies.first = _policies.first or (url, key, hook)
        # A hook is compared as an object: what its own comparison says is not known.
        if (url, key) != first[:2] or hook is not first[2]:
            _policies.differ = True


def policies_differ() -> bool:
    """Whether two reporters have differed since the last `forget_policies()`."""
    return _policies.differ


def forget_policies() -> None:
    """Begin anew, after all reporters were shut down."""
    with _policies.lock:
        _policies.first, _policies.differ = None, False
