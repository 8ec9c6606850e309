# SPDX-License-Identifier: Apache-2.0
"""What commands print: tables and records for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from khatim.errors import Malformed
from khatim.vocabulary import Digest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from khatim.client import Client
    from khatim.wire import answers

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Columns = Mapping[str, Callable[[Any], object]]
"""Title to what stands in that column."""

SHORT = 19  # "sha256:" and twelve digits
WIDE = 400  # columns where nobody looks: a pipe gets whole lines


def console() -> Console:
    """Return the console for results (stdout); a pipe is as wide as it needs to be."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def moment_of(text: str, *, naive: tzinfo | None = UTC) -> datetime:
    """Read an ISO 8601 moment; without an offset it is one of *naive*, None for the zone of this machine.

    Raises `Malformed`.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"not a moment: {text[:60]!r}", advice="Write 2026-01-31T12:00:00Z.") from error
    return found if found.tzinfo else found.replace(tzinfo=naive).astimezone(naive)


def say(text: str) -> None:
    """Tell a person what happened (stderr), so that stdout stays clean for results."""
    Console(stderr=True, highlight=False).print(Text(text), soft_wrap=True)


def listing(items: Iterable[BaseModel], columns: Columns, *, as_json: bool, none: str) -> None:
    """Print a listing: a table with *columns*, a JSON array, or the sentence *none* when there is nothing."""
    found = list(items)
    if as_json:
        dump([item.model_dump(mode="json") for item in found])
    else:
        table(found, columns, none=none)


def table(found: Sequence[object], columns: Columns, *, none: str) -> None:
    """Print *found* as a table with *columns*, or the sentence *none* when there is nothing."""
    if not found:
        say(none)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        grid.add_column(title, overflow="fold")
    for item in found:
        grid.add_row(*(cell(value(item)) for value in columns.values()))
    console().print(grid)


def record(item: BaseModel, *, as_json: bool) -> None:
    """Print one thing with all its members."""
    body = item.model_dump(mode="json")
    if as_json:
        dump(body)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in body.items():
        if value not in (None, "", [], {}):
            table.add_row(key.replace("_", " "), cell(value))
    console().print(table)


def dump(value: object) -> None:
    """Print JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    """Return a report's values as JSON has them: digests as text, bytes in hexadecimal, moments in RFC 3339."""
    match value:
        case Digest():
            return str(value)
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        case _:
            return value


def cell(value: object) -> Text:
    """Return *value* as it stands in a table; text from elsewhere is never read as markup."""
    match value:
        case Text():
            return value
        case None:
            return Text("")
        case datetime():
            return Text(moment(value))
        case dict():
            return Text(json.dumps(value, ensure_ascii=False, indent=1))
        case list() | tuple():
            simple = all(isinstance(one, str | int | float) for one in value)
            return Text(", ".join(map(str, value)) if simple else json.dumps(value, ensure_ascii=False, indent=1))
        case _:
            return Text(str(value))


def moment(at: datetime | None) -> str:
    """Return a moment in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def short(digest: str) -> str:
    """Return the beginning of a digest, enough for a person."""
    return digest if len(digest) <= SHORT else f"{digest[:SHORT]}…"


def joined(values: Sequence[object]) -> str:
    """Return values side by side."""
    return ", ".join(map(str, values))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something outside is waited for (stderr, terminals only)."""
    with Console(stderr=True, highlight=False).status(what):
        yield


@contextmanager
def moving(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many bytes have moved (stderr, terminals only); yields what to call with done and total."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of *what* are done (stderr, terminals only); yields what to call with done and total."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def await_job(client: Client, job: answers.Job, *, timeout_s: float = 3600) -> answers.Job:
    """Wait until a job is done, telling the terminal; raises what its agent met when it failed."""
    screen = Console(stderr=True, highlight=False)
    with screen.status(f"{job.kind} job {job.id} in {job.zone}: {job.state}") as status:
        return client.jobs.wait(
            job,
            timeout_s=timeout_s,
            watch=lambda seen: status.update(f"{seen.kind} job {seen.id} in {seen.zone}: {seen.state}"),
        )
