"""
Reports as files: for fine-tuning, for other tools, for tables.

It takes rows as `GET /api/v1/reports` has them, and knows neither where they are from nor where the
bytes go.
"""

from __future__ import annotations

from openpipe_report._export.counts import Counts
from openpipe_report._export.export import FORMATS, TEST, TRAIN, WHOLE, Export
from openpipe_report._export.reasons import Reason

__all__ = ["FORMATS", "TEST", "TRAIN", "WHOLE", "Counts", "Export", "Reason"]
