"""Exports in memory."""

from __future__ import annotations

import json

import pytest

from openpipe_report._export import Export


@pytest.fixture
def export():
    """Export rows; returns the lines as parsed JSON, and the counts."""

    def export(name, rows, **options):
        one = Export(name, **options)
        content = b"".join(one.stream(rows))
        return [json.loads(line) for line in content.splitlines()], one.counts

    return export
