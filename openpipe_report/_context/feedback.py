"""
feedback(): what somebody thinks of an answer, as labels of its report.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from openpipe_report._context.scope import current_scope
from openpipe_report._delivery.destination import environment_config, warn_disabled
from openpipe_report._delivery.policies import policies_differ
from openpipe_report._delivery.registry import live_reporters
from openpipe_report._delivery.reporter import Reporter, capture_stack
from openpipe_report._log import log_internal_error, log_once
from openpipe_report._report.completion_id import find_completion_id
from openpipe_report._report.feedback_labels import COMMENT, CORRECTED, DOWN, FEEDBACK, UP
from openpipe_report._report.metadata_update import MetadataUpdate, make_update

if TYPE_CHECKING:
    from openpipe_report._context.scope import MetadataValue
    from openpipe_report._report.completion_id import Answer


class Unchanged(Enum):
    """The type of an argument that was not given, which None would remove."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
_REMEDY = "; give one with feedback(..., reporter=)"
Verdict: TypeAlias = Literal["up", "down"]


def feedback(
    completion_or_id: Answer | str,
    verdict: Verdict | Unchanged | None = UNCHANGED,
    /,
    *,
    comment: str | Unchanged | None = UNCHANGED,
    corrected: str | Unchanged | None = UNCHANGED,
    reporter: Reporter | None = None,
    **labels: MetadataValue,
) -> bool:
    """
    Label the report of a completion with what somebody thinks of its answer.

        feedback(completion, "down", comment="Too long", corrected="Paris.", reviewer="ada")
        feedback("chatcmpl-42", None)  # removes the verdict

    It returns at once and is sent in the background, see `Reporter.update_metadata()`. It may come
    at any time later, and from another process than the call. Nothing is sent where reporting is
    off, nor inside `metadata(report=False)`. `before_report` is asked about it as about a report,
    and can change or hold back comment, corrected answer and labels.

    Args:
        completion_or_id: What the client returned, a chunk or an event of its stream that has the
            answer's id, or the id.
        verdict: "up" or "down", the label `feedback`; None removes it.
        comment: The label `comment`; None removes it.
        corrected: The text that the answer should have had, the label `corrected`; None removes it.
        reporter: Where to send it; else by the environment's settings, else by those of a client.
            It is not sent, which is said once and counted ("no reporter"), where reporters of the
            process have differed in destination or `before_report`: which of them has reported
            the call is not known.
        labels: More labels: strings, finite numbers, booleans, or None to remove one.

    Returns:
        Whether it was queued: False if reporting is off, and if it was dropped and counted.

    Raises:
        TypeError: An argument is of another kind, or there is nothing to change.
        ValueError: The verdict is another one, or the completion has no id.
    """
    completion_id = find_completion_id(completion_or_id)
    changes = _changes(verdict, comment, corrected, labels)
    if not (reporter is None or isinstance(reporter, Reporter)):
        raise TypeError(f"reporter= must be a Reporter, got {type(reporter).__name__}")
    update = make_update(completion_id, changes)
    try:
        return _submit(update, reporter)
    except Exception:  # noqa: BLE001 - as with calls, a fault of ours stays inside
        log_internal_error("feedback")
        return False


def _changes(
    verdict: object, comment: object, corrected: object, labels: dict[str, Any]
) -> dict[str, Any]:
    is_verdict = isinstance(verdict, str) and verdict in {UP, DOWN}
    if not (verdict is None or verdict is UNCHANGED or is_verdict):
        got = repr(verdict)[:40] if isinstance(verdict, str) else type(verdict).__name__
        raise ValueError(f'the verdict must be "up", "down" or None, got {got}')
    for name, text in ((COMMENT, comment), (CORRECTED, corrected)):
        if not (text is None or text is UNCHANGED or isinstance(text, str)):
            raise TypeError(f"{name}= must be a string or None, got {type(text).__name__}")
    if FEEDBACK in labels:
        raise TypeError(f"{FEEDBACK}= is the verdict: give it as the second argument")
    named = {FEEDBACK: verdict, COMMENT: comment, CORRECTED: corrected, **labels}
    changes = {name: value for name, value in named.items() if value is not UNCHANGED}
    if not changes:
        raise TypeError("feedback() needs a verdict, a comment, a corrected answer or a label")
    return changes


def _submit(update: MetadataUpdate, given: Reporter | None) -> bool:
    if not current_scope().report:
        return False
    reporter = given or _choose_reporter()
    return reporter is not None and reporter.update_metadata(
        completion_id=update.completion_id, metadata=update.metadata
    )


def _choose_reporter() -> Reporter | None:
    """Return the environment's reporter, else one that lives; None where reporters differ."""
    config = environment_config()
    if capture_stack or not config.settings.enabled:
        return config.reporter
    live = [each for each in live_reporters() if each.settings.enabled]
    found = config.reporter or next(iter(live), None)
    if found is None:
        warn_disabled()
        log_once(
            "feedback without reporter", f"feedback is not sent: there is no reporter{_REMEDY}"
        )
    elif policies_differ():
        found.accounting.count_drop("no reporter")
        log_once(
            "feedback of differing reporters",
            "feedback is not sent: the reporters of this process differ in destination or "
            f"before_report{_REMEDY}",
        )
        return None
    return found
