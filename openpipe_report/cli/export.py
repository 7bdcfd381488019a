"""The command `export`, which writes stored reports to files or a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NoReturn

import typer

from openpipe_report._reading import Parameters  # noqa: TC001 - typer reads the annotations
from openpipe_report.cli.filtering import read_conditions
from openpipe_report.cli.options import fail
from openpipe_report.cli.sharing import share_options
from openpipe_report.cli.sources import Place, choose_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openpipe_report._export import Export
    from openpipe_report._reading import ReportSource, Row


@share_options(place=choose_place, where=read_conditions)
def export(
    *,
    format_name: Annotated[
        str,
        typer.Option(
            "-f",
            "--format",
            metavar="NAME",
            show_default=False,
            help="openai-chat and dpo for OpenAI's fine-tuning, openpipe as the hosted service "
            "exports, jsonl for whole reports, csv or parquet for tables.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", show_default=False, help="Default: standard output."
        ),
    ] = None,
    dedup: Annotated[
        bool, typer.Option("--dedup", help="Only the first report of each input.")
    ] = False,
    split: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            show_default=False,
            help="Share of the prompts for NAME.train; the others go to NAME.test. A prompt is "
            "never in both.",
        ),
    ] = None,
    response_format: Annotated[
        bool,
        typer.Option(
            "--response-format/--no-response-format",
            help="Whether openai-chat keeps response_format. OpenAI's published schema does not "
            "have it: leave it out where a file is refused for it.",
        ),
    ] = True,
    place: Place,
    where: Parameters,
) -> None:
    """
    Write reports for fine-tuning, for other tools or as a table, the oldest first.

    What cannot be written in the format is left out; how many and why is said on stderr.
    """
    from openpipe_report._export import FORMATS, Export  # noqa: PLC0415 - slow to import
    from openpipe_report.cli.export_summary import print_summary  # noqa: PLC0415

    if format_name not in FORMATS:
        _refuse("--format", f"must be one of {', '.join(FORMATS)}")
    if output is None and split is not None:
        _refuse("--split", "writes two files: name them with -o")
    if output is None and format_name == "parquet" and sys.stdout.isatty():
        _refuse("--format", "parquet is no text: name a file with -o, or use a pipe")
    try:
        made = Export(format_name, dedup=dedup, split=split, response_format=response_format)
    except ValueError as error:
        _refuse("--split", str(error))
    paths = {} if output is None else _name_files(output, made.parts)
    _check_not_the_source(paths, place)
    with place.open() as source:
        if output is None:
            _write(made, source, where, {"": sys.stdout.buffer})
            sys.stdout.buffer.flush()
        else:
            _write_files(made, source, where, paths)
    suffix, _media_type = FORMATS[format_name]
    print_summary(made.counts, paths, what="line" if suffix == "jsonl" else "row")


def _refuse(option: str, fault: str) -> NoReturn:
    raise typer.BadParameter(fault, param_hint=option)


def _name_files(output: Path, parts: tuple[str, ...]) -> dict[str, Path]:
    """Return the file of each part: `a.jsonl`, or `a.train.jsonl` and `a.test.jsonl`."""
    if not output.name or output.is_dir():
        _refuse("-o", f"{output} is a folder: name a file")
    return {
        part: output.with_name(f"{output.stem}.{part}{output.suffix}") if part else output
        for part in parts
    }


def _check_not_the_source(paths: Mapping[str, Path], place: Place) -> None:
    for path in paths.values():
        if path.resolve() in _files_of(place):
            fail(f"{path} is a file of the database: name another file with -o")


def _files_of(place: Place) -> set[Path]:
    return {Path(f"{place.location}{suffix}").resolve() for suffix in ("", "-wal", "-shm")}


def _write_files(
    made: Export, source: ReportSource, where: Parameters, paths: Mapping[str, Path]
) -> None:
    from openpipe_report.cli.whole_files import whole_files  # noqa: PLC0415

    try:
        with whole_files(paths) as files:
            _write(made, source, where, files)
    except BrokenPipeError:  # of a named pipe, or of /dev/stdout
        raise
    except OSError as error:
        names = " and ".join(map(str, paths.values()))
        fail(f"cannot write {names}: {error.strerror or error}")


def _write(
    made: Export, source: ReportSource, where: Parameters, files: Mapping[str, BinaryIO]
) -> None:
    from openpipe_report.cli.export_bar import export_bar  # noqa: PLC0415

    to_terminal = any(file.isatty() for file in files.values())
    with export_bar(source.newest_id, hidden=to_terminal) as watch:
        made.write(watch(_read(made, source, where)), files)


def _read(made: Export, source: ReportSource, where: Parameters) -> Iterator[Row]:
    from openpipe_report._reading import iterate_judged  # noqa: PLC0415

    if made.needs_feedback:
        return iterate_judged(source, where)
    return source.oldest_first(where, payloads=made.needs_payloads)
