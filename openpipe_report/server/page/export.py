"""
`GET /export` and `/export/download`: the reports of the filter in force as a file.

The page says how many reports there are before anything is downloaded; of few reports it also says
how many lines they make, and why others are left out. The file is made while it is sent.
"""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response, StreamingResponse

from openpipe_report._export import FORMATS, Export
from openpipe_report._report.feedback_labels import is_judged
from openpipe_report.server.errors import ApiError
from openpipe_report.server.page.filter_form import read_filter_in_force, tidy
from openpipe_report.server.page.headers import OF_PAGES, OF_RAW_TEXT
from openpipe_report.server.page.links import url_with
from openpipe_report.server.page.templating import render
from openpipe_report.server.parameters import PAGE, Parameter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from starlette.requests import Request

    from openpipe_report.server.page.site import Query, Site
    from openpipe_report.server.store.filters import Filter
    from openpipe_report.server.store.queries import Queries

PATH = "/export"
MAX_CHECKED = 1_000
"""Most reports whose lines are counted before the download."""
DESCRIPTIONS = {
    "openai-chat": "Conversations for OpenAI's fine-tuning, without failed, cut and refused ones",
    "openpipe": "Input, output and tags, as OpenPipe's own exports",
    "dpo": "Pairs of a better and a worse answer, from feedback and corrected answers",
    "jsonl": "Everything that is stored, one report a line",
    "csv": "The columns of the list, for spreadsheets",
    "parquet": "Columns and payloads, for pandas and other tools of data",
}
"""What each format is for, in words."""
NEEDED = {"parquet": "pyarrow"}
"""Modules that formats need beside this package's own."""


def _read_format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError(f"must be one of {', '.join(FORMATS)}")
    return text


_PARAMETERS = {
    "format": Parameter(_read_format, {}, "The format of the file"),
    "dedup": PAGE["payloads"],
}


def add_to(site: Site) -> None:
    """Add both paths."""
    site.add_view(PATH, _show)
    site.add(f"{PATH}/download", lambda request: _download(site, request))


def _show(request: Request) -> Query | Response:
    tidied = tidy(request)
    if tidied is not None:
        return RedirectResponse(url_with(PATH, tidied), 303, OF_PAGES)
    in_force = read_filter_in_force(request, _PARAMETERS)
    chosen = in_force.others.get("format")
    dedup = in_force.others.get("dedup", False)

    def query(queries: Queries) -> Response:
        count = queries.count(in_force.wanted)
        values: dict[str, Any] = {
            "here": PATH,
            "filter_pairs": in_force.pairs,
            "count": count,
            "formats": DESCRIPTIONS,
            "missing": {name: module for name, module in NEEDED.items() if not _is_there(module)},
            "chosen": chosen or next(iter(FORMATS)),
            "dedup": dedup,
            "counts": None,
            "max_checked": MAX_CHECKED,
        }
        if chosen is not None and count <= MAX_CHECKED and _is_there(NEEDED.get(chosen)):
            values["counts"] = _count(queries, in_force.wanted, Export(chosen, dedup=dedup))
        return render("export.html", values)

    return query


def _count(queries: Queries, wanted: Filter, export: Export) -> Any:
    for _ in export.stream(_rows(queries, wanted, export)):
        pass
    return export.counts


async def _download(site: Site, request: Request) -> Response:
    in_force = read_filter_in_force(request, _PARAMETERS)
    name = in_force.others.get("format", next(iter(FORMATS)))
    if not _is_there(NEEDED.get(name)):
        raise ApiError(400, f"This receiver cannot write {name}: {NEEDED[name]} is not installed")
    suffix, media_type = FORMATS[name]
    export = Export(name, dedup=in_force.others.get("dedup", False))
    file_name = f"{name}-{time.strftime('%Y-%m-%d', time.gmtime())}.{suffix}"
    headers = {**OF_RAW_TEXT, "Content-Disposition": f'attachment; filename="{file_name}"'}
    chunks = await site.run(
        request, lambda queries: export.stream(_rows(queries, in_force.wanted, export))
    )

    async def take() -> bytes | None:
        return await site.run(request, lambda _queries: next(chunks, None))

    # The first chunk comes before the answer begins: an error is answered as one.
    content = _send(await take(), take)
    return StreamingResponse(content, headers=headers, media_type=media_type)


async def _send(
    first: bytes | None, take: Callable[[], Awaitable[bytes | None]]
) -> AsyncIterator[bytes]:
    chunk = first
    while chunk is not None:
        yield chunk
        chunk = await take()


def _rows(queries: Queries, wanted: Filter, export: Export) -> Iterator[dict[str, Any]]:
    """Yield the rows that an export takes, the oldest first."""
    if not export.needs_feedback:
        for row in queries.iterate(wanted, payloads=export.needs_payloads):
            yield row.to_dict()
        return
    for row in queries.iterate(wanted):
        if is_judged(row.metadata):
            found = queries.get_report(row.id)
            if found is not None:
                yield found.to_dict()


def _is_there(module: str | None) -> bool:
    return module is None or importlib.util.find_spec(module) is not None
