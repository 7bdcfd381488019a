"""
`POST /feedback`: changes the labels of one report, as the forms of a report and of a list say.

    id                    the report
    feedback              `up`, `down`, or `none` to take it back
    comment, corrected    texts; an empty one removes the label
    label_name, label_value    any label to set
    remove                the name of a label to remove
    judge                 `ID:up`, `ID:down` or `ID:none`: both in one, for the buttons of a list
    next                  the path to go on with

A field that a form has not changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from openpipe_report._report.feedback_labels import COMMENT, CORRECTED, DOWN, FEEDBACK, UP
from openpipe_report.server.access import get_access
from openpipe_report.server.errors import ApiError
from openpipe_report.server.intake import LabelChange
from openpipe_report.server.page.forms import local_path
from openpipe_report.server.page.headers import OF_PAGES
from openpipe_report.server.page.links import path_of
from openpipe_report.server.store.labels import MAX_CHANGED_VALUE
from openpipe_report.server.store.values import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from openpipe_report.server.page.forms import Form
    from openpipe_report.server.page.site import Site
    from openpipe_report.server.store import StoredReport, UpdateFilter

PATH = "/feedback"
TEXTS = (COMMENT, CORRECTED)
"""The fields with texts; each is the name of its label."""

_VERDICTS = {UP: UP, DOWN: DOWN, "none": None}
_LONGEST_ID = 18


def add_to(site: Site) -> None:
    """Add the path."""

    async def judge(request: Request, form: Form) -> Response:
        project = get_access(request.scope).project
        fragment = ""
        if "judge" in form:
            form["id"], _, form[FEEDBACK] = form["judge"].partition(":")
            fragment = f"#r{form['id']}"
        report_id = _read_id(form)
        row = await site.run(request, lambda queries: queries.get_report(report_id, payloads=False))
        if row is None:
            raise ApiError(404, "There is no report with this id")
        changes = read_changes(form, row)
        if changes:
            this: UpdateFilter = {"field": "reportId", "equals": report_id}
            await site.services.intake.change_labels(project, LabelChange([this], changes))
        path = local_path(form.get("next", ""), path_of("/reports", report_id))
        return RedirectResponse(f"{path}{fragment}", 303, OF_PAGES)

    site.add_form(PATH, judge)


def read_changes(form: Form, row: StoredReport) -> dict[str, str | None]:
    """
    Return what a form changes of a report's labels; None removes one.

    Raises:
        ApiError: 400, a field is too long, or `feedback` is none of its values.

    """
    changes = dict(_read(form))
    if any(len(name) > MAX_NAME for name in changes):
        raise ApiError(400, f"The name of a label has at most {MAX_NAME} characters")
    if any(len(value or "") > MAX_CHANGED_VALUE for value in changes.values()):
        raise ApiError(400, f"A label has at most {MAX_CHANGED_VALUE:,} characters")
    return {name: value for name, value in changes.items() if row.metadata.get(name) != value}


def _read(form: Form) -> Iterator[tuple[str, str | None]]:
    if FEEDBACK in form:
        if form[FEEDBACK] not in _VERDICTS:
            raise ApiError(400, f"feedback must be one of {', '.join(_VERDICTS)}")
        yield FEEDBACK, _VERDICTS[form[FEEDBACK]]
    for name in TEXTS:
        if name in form:
            yield name, form[name].strip() or None
    if name := form.get("label_name", "").strip():
        yield name, form.get("label_value", "")
    if name := form.get("remove", ""):
        yield name, None


def _read_id(form: Form) -> int:
    text = form.get("id", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_ID):
        raise ApiError(400, "id must be the number of a report")
    return int(text)
