"""Errors of `Store.add()` that a client can do something about."""

from __future__ import annotations

from openpipe_report.server.schema import StoreError


class StoreUnavailableError(StoreError):
    """The database cannot be used at the moment; the same report can be stored later."""


class IdempotencyConflictError(StoreError):
    """Another report was stored with the same Idempotency-Key."""
