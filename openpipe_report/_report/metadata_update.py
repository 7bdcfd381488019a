"""
A change of the labels of a report that was sent before, as `POST /logs/update-metadata` takes it.

The hook `before_report` is asked about a change as about any report, since a comment or a corrected
answer is content of the user's. It gets a report that has the labels where a report has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openpipe_report._log import log_internal_error
from openpipe_report._report.hook import call_hook
from openpipe_report._report.json_codec import encode_json
from openpipe_report._report.json_pieces import OverLimitError
from openpipe_report._report.label_values import check_values, to_text
from openpipe_report._report.model import UPDATE_PATH, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from openpipe_report._settings import Settings


@dataclass(frozen=True, slots=True, repr=False)
class MetadataUpdate:
    """A change of the labels of the reports of one completion."""

    completion_id: str
    """The `id` of the completion's answer."""
    metadata: Mapping[str, str | None]
    """The new values by name; None removes the label."""

    def __repr__(self) -> str:
        """Name the labels, never their values: a repr may be logged."""
        return f"MetadataUpdate(labels={sorted(self.metadata)})"

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        texts = (self.completion_id, *self.metadata, *self.metadata.values())
        return 256 + sum(len(text) for text in texts if text is not None)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object to send."""
        return {
            "filters": [{"field": "completionId", "equals": self.completion_id}],
            "metadata": {**self.metadata},
        }

    def to_report(self) -> Report:
        """Return the report that `before_report` is shown."""
        return Report(
            reqPayload={"metadata": {**self.metadata}},
            respPayload={"id": self.completion_id},
            tags={"$endpoint": UPDATE_PATH},
        )


def make_update(completion_id: str, metadata: Mapping[str, Any]) -> MetadataUpdate:
    """
    Check the labels of a change and put them into words.

    Raises:
        TypeError: The id or a label is of another kind than it may be.
        ValueError: The id is empty, or there is no label.
    """
    if not isinstance(completion_id, str):
        kind = type(completion_id).__name__
        raise TypeError(f"completion_id must be a string, got {kind}")
    values = check_values("metadata", metadata)
    if not completion_id:
        raise ValueError("completion_id is empty: which reports to change is not known")
    if not values:
        raise ValueError("metadata has no label: there is nothing to change")
    return MetadataUpdate(completion_id, {name: to_text(value) for name, value in values.items()})


def encode_update(update: MetadataUpdate, settings: Settings) -> bytes | str:
    """Return the change's JSON, or the reason of its loss; empty if it is not to be sent."""
    wanted: MetadataUpdate | str = update
    if settings.before_report is not None:
        left = call_hook(settings.before_report, update.to_report())
        wanted = left if isinstance(left, str) else _with_labels_of(left, update)
    if isinstance(wanted, str):
        return wanted
    try:
        return encode_json(wanted.to_wire(), settings.max_report_bytes)
    except OverLimitError:  # an answer that is cut would be a wrong one
        return "too large"
    except Exception:  # noqa: BLE001 - counted under its reason
        log_internal_error("encoding a change of labels")
        return "could not be encoded"


def _with_labels_of(report: Report, update: MetadataUpdate) -> MetadataUpdate | str:
    """
    Return what a hook has left of a change; empty where that is nothing.

    A masked id would be that of every report whose id was masked, so nothing is sent then. A label
    that is to be removed stays so, whatever the hook has put in its place.
    """
    try:
        if report.respPayload["id"] != update.completion_id:
            return ""
        left = check_values("metadata", report.reqPayload["metadata"])
    except (KeyError, TypeError):
        return ""
    labels = {
        name: None if update.metadata.get(name, "") is None else to_text(value)
        for name, value in left.items()
    }
    return MetadataUpdate(update.completion_id, labels) if labels else ""
