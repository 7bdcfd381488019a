"""
Export: rows in, bytes of a format out, in constant memory but for the hashes of `dedup`.

    export = Export("openai-chat", dedup=True)
    for chunk in export.stream(rows):
        ...
    print(export.counts)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._export.counts import Counts
from openpipe_report._export.csv_table import CsvTable
from openpipe_report._export.hashing import is_in_training
from openpipe_report._export.openai_chat import OpenAIChat
from openpipe_report._export.parquet_table import ParquetTable
from openpipe_report._export.preferences import Preferences
from openpipe_report._export.raw_formats import OpenPipe, Rows
from openpipe_report._export.reasons import LeftOutError, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openpipe_report._export.calls import Row
    from openpipe_report._export.formats import Format, Item
    from openpipe_report._export.writing import Sink, Writer

FORMATS = {
    "openai-chat": ("jsonl", "application/jsonl"),
    "openpipe": ("jsonl", "application/jsonl"),
    "dpo": ("jsonl", "application/jsonl"),
    "jsonl": ("jsonl", "application/jsonl"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
}
"""The formats by name: the suffix of a file's name, and the media type."""

WHOLE, TRAIN, TEST = "", "train", "test"
"""The parts of an export: all of it, or those of a split."""

_CHUNK = 64 * 1024


class Export:
    """
    One export, of which the counts tell what became of the rows.

    Args:
        format_name: One of `FORMATS`.
        dedup: Write only the first row of each input: messages, tools and response format. It takes
            about 100 bytes of memory for each input.
        split: The share of the prompts that are for training, between 0 and 1: `0.9`. A prompt is
            in the same part in each export, whatever else is in it.
        response_format: Whether lines of `openai-chat` keep the member `response_format`.

    Raises:
        ValueError: There is no such format, or `split` is not between 0 and 1.

    """

    def __init__(
        self,
        format_name: str,
        *,
        dedup: bool = False,
        split: float | None = None,
        response_format: bool = True,
    ) -> None:
        if format_name not in FORMATS:
            raise ValueError(f"a format is one of {', '.join(FORMATS)}, not {format_name}")
        if split is not None and not 0 < split < 1:
            raise ValueError(f"split must be between 0 and 1, such as 0.9, not {split}")
        self.counts = Counts()
        self._split = split
        self._seen: set[bytes] | None = set() if dedup else None
        self._format = _make_format(format_name, self.counts, response_format=response_format)
        self.needs_payloads = format_name != "csv" or dedup or split is not None
        """Whether the rows must have their `report`."""
        self.needs_feedback = format_name == "dpo"
        """Whether only rows that were judged or corrected lead to anything."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts."""
        return (WHOLE,) if self._split is None else (TRAIN, TEST)

    def write(self, rows: Iterable[Row], sinks: Mapping[str, Sink]) -> Counts:
        """
        Write all rows.

        Args:
            rows: Rows as `GET /api/v1/reports` has them, with `report` if `needs_payloads`.
            sinks: A sink for each of the `parts`.

        """
        writers = {part: self._format.open(sinks[part]) for part in self.parts}
        for part, value in self._parts_of(rows):
            writers[part].write(value)
        for writer in writers.values():
            writer.close()
        return self.counts

    def stream(self, rows: Iterable[Row]) -> Iterator[bytes]:
        """
        Yield the bytes of the file in chunks of 64 KiB or more, except the last.

        Raises:
            ValueError: The export has two parts.

        """
        if self._split is not None:
            raise ValueError("a split has two files: write() them")
        buffer = _Buffer()
        writer: Writer = self._format.open(buffer)
        for _, value in self._parts_of(rows):
            writer.write(value)
            if buffer.size >= _CHUNK:
                yield buffer.take()
        writer.close()
        if buffer.size:
            yield buffer.take()

    def _parts_of(self, rows: Iterable[Row]) -> Iterator[tuple[str, Any]]:
        for row in rows:
            self.counts.read += 1
            try:
                items = self._format.convert(row)
            except LeftOutError as error:
                self.counts.left_out[error.reason] += 1
                continue
            for item in items:
                if self._is_duplicate(item):
                    self.counts.left_out[Reason.DUPLICATE.value] += item.rows
                    continue
                part = self._choose_part(item)
                self.counts.written[part] += 1
                yield part, item.value
        self._format.finish()

    def _is_duplicate(self, item: Item) -> bool:
        if self._seen is None:
            return False
        key = item.asked.hash_input()
        known = key in self._seen
        self._seen.add(key)
        return known

    def _choose_part(self, item: Item) -> str:
        if self._split is None:
            return WHOLE
        return TRAIN if is_in_training(item.asked.hash_messages(), self._split) else TEST


class _Buffer:
    """Keeps what a writer has written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, content: bytes) -> None:
        self._pieces.append(content)
        self.size += len(content)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken


def _make_format(name: str, counts: Counts, *, response_format: bool) -> Format:
    if name == "openai-chat":
        return OpenAIChat(response_format=response_format)
    if name == "dpo":
        return Preferences(counts)
    if name == "openpipe":
        return OpenPipe()
    if name == "jsonl":
        return Rows()
    return CsvTable() if name == "csv" else ParquetTable()
