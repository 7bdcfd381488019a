"""The hashes of what a report asked, for formats that have whole reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report._export.calls import read_prompt
from openpipe_report._export.hashing import hash_json
from openpipe_report._export.reasons import LeftOutError
from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from openpipe_report._export.calls import Row
    from openpipe_report._export.values import Json

_PROMPT = ("system", "instructions", "messages", "input", "prompt")
_NOT_ASKED = {"metadata", "stream", "stream_options", "user"}


class RowInput:
    """
    What a report asked.

    The prompt of a call is hashed as that of an `Example` is, so that all formats are split in the
    same way; of any other report, the request without its labels.
    """

    def __init__(self, row: Row) -> None:
        self._row = row

    def hash_messages(self) -> bytes:
        """Return the hash by which prompts are split."""
        try:
            return read_prompt(self._row).hash_messages()
        except LeftOutError:
            request = self._read_request()
            asked = {name: request[name] for name in _PROMPT if name in request}
            return hash_json(asked or request)

    def hash_input(self) -> bytes:
        """Return the hash by which duplicates are found."""
        try:
            return read_prompt(self._row).hash_input()
        except LeftOutError:
            return hash_json(self._read_request())

    def _read_request(self) -> Json:
        request = get_object(self._row.get("report")).get("reqPayload")
        if not isinstance(request, dict):
            return {"request": request}
        return {name: request[name] for name in request if name not in _NOT_ASKED}
