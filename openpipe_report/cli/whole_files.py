"""
Files that are there whole or not at all.

They are written beside their place, readable by their owner only, and renamed when all are whole. A
device or a named pipe is written as it is.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


@contextmanager
def whole_files(paths: Mapping[str, Path]) -> Generator[dict[str, BinaryIO], None, None]:
    """
    Open files to write, by any names; after an error there are no new ones.

    Raises:
        OSError: One cannot be made, written or renamed.

    """
    with ExitStack() as files:
        opened = {name: _NewFile(path) for name, path in paths.items()}
        for one in opened.values():
            files.callback(one.discard)
        for one in opened.values():
            one.open()
        yield {name: one.content for name, one in opened.items()}
        for one in opened.values():
            one.finish()
        for one in opened.values():
            one.rename()


class _NewFile:
    content: BinaryIO

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside: Path | None = None

    def open(self) -> None:
        if self._path.exists() and not self._path.is_file():
            self.content = self._path.open("wb")
            return
        self._path = self._path.resolve()  # a link stays, and leads to the new file
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name[:99]}.")
        self._beside = Path(name)
        self.content = os.fdopen(handle, "wb")

    def finish(self) -> None:
        self.content.flush()
        if self._beside is not None:
            os.fsync(self.content.fileno())
        self.content.close()

    def rename(self) -> None:
        if self._beside is not None:
            self._beside.replace(self._path)
            self._beside = None

    def discard(self) -> None:
        with suppress(AttributeError, OSError):  # a full disk is told once
            self.content.close()
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
