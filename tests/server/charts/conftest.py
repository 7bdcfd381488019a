"""A store in an empty folder, and a way to fill it with calls."""

from __future__ import annotations

import pytest

from openpipe_report.server.store import Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "reports.db") as opened:
        yield opened


@pytest.fixture
def add(store):
    """Store a call."""

    def add(at, model="m", *, duration=100, status=200, tokens=10, **labels):
        report = {
            "requestedAt": at,
            "receivedAt": at + duration,
            "statusCode": status,
            "reqPayload": {"model": model, "metadata": labels},
            "respPayload": {"usage": {"prompt_tokens": tokens, "completion_tokens": 1}},
        }
        store.add(report).result()

    return add
