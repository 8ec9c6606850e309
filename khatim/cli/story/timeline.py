# SPDX-License-Identifier: Apache-2.0
"""The live timeline of the story: what runs now, and above it what happened: step, who, what, zone, time, ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

WIDTHS = {"step": 4, "who": 20, "what": 0, "zone": 10, "time": 7, "ledger": 6}
STEPS = 12


@dataclass(slots=True)
class Moment:
    """One thing that somebody does.  `result` is told when it is done; `entry` is the ledger's newest index then."""

    step: int
    who: str
    what: str
    zone: str = ""
    result: str = ""
    seconds: float = 0.0
    entry: int | None = None
    is_refusal: bool = False


class Timeline:
    """Shows moments as they pass and remembers them.  Without a terminal it prints one line a moment."""

    def __init__(self, console: Console, newest_entry: Callable[[], int | None]) -> None:
        """Print to *console*; *newest_entry* says how far the ledger has come."""
        self.moments: list[Moment] = []
        self._console = console
        self._newest_entry = newest_entry
        self.running: Moment | None = None  # what failed, when something did
        self._live = Live(console=console, transient=True, refresh_per_second=8)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        self._console.print(_line("step", "who", "what", "zone", "time", "ledger"), style="dim")
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop showing."""
        self._live.stop()

    @property
    def seconds(self) -> float:
        """Return how long the story has run."""
        return time.monotonic() - self._began

    @contextmanager
    def moment(self, step: int, who: str, what: str, zone: str = "") -> Iterator[Moment]:
        """Show that *who* does *what* until the block ends; what it sets as `result` is printed below."""
        now = Moment(step, who, what, zone)
        began = time.monotonic()
        self.running = now
        self._live.update(_running(now))
        try:
            yield now
        except BaseException:
            self._live.update("")
            self._show(now, Text("✗ ", style="bold red"), time.monotonic() - began)
            raise
        self.running = None
        now.seconds = round(time.monotonic() - began, 3)
        now.entry = self._newest_entry()
        self.moments.append(now)
        self._show(now, Text("✓ ", style="green"), now.seconds)

    def write(self, to: Path) -> None:
        """Write every moment as JSON."""
        body = {"seconds": round(self.seconds, 3), "moments": [asdict(one) for one in self.moments]}
        to.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")

    def _show(self, now: Moment, mark: Text, seconds: float) -> None:
        entry = "" if now.entry is None else str(now.entry)
        what = Text.assemble(mark, (now.what, ""))
        self._console.print(_line(str(now.step), now.who, what, now.zone, f"{seconds:.1f} s", entry))
        if now.result:
            style = "yellow" if now.is_refusal else "dim"
            indent = WIDTHS["step"] + WIDTHS["who"] + 6
            self._console.print(Padding(Text(now.result, style=style), (0, 0, 0, indent)))


def _line(step: str, who: str, what: str | Text, zone: str, seconds: str, entry: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for name, width in WIDTHS.items():
        right = name in {"step", "time", "ledger"}
        table.add_column(width=width or None, ratio=None if width else 1, justify="right" if right else "left")
    table.add_row(step, who, what, zone, seconds, entry)
    return table


def _running(now: Moment) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Spinner("dots"), Text(f"step {now.step} of {STEPS}", style="bold"), Text(f"{now.who}: {now.what}"))
    return table
