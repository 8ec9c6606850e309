# SPDX-License-Identifier: Apache-2.0
"""One run of every benchmark, and the page that it writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from khatim.cli.benchmarks import (
    appends,
    decisions,
    denials,
    installation,
    over_http,
    page,
    predictions,
    rules,
    signatures,
    storing,
    verifying,
)
from khatim.cli.benchmarks.figures import Section


def run(path: Path) -> None:
    """Measure everything and write the page to *path*; takes two to four minutes."""
    console = Console(stderr=True, highlight=False)
    began, started = datetime.now(UTC), time.monotonic()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())

    def measured(what: str, step: Callable[[], Section]) -> Section:
        console.print(f"[dim]khatim bench:[/] {what}")
        return step()

    with installation.installed() as here:
        postgres = _postgres(here.database())
        sections = [
            measured("reads and writes", lambda: over_http.measure(here)),
            measured("ledger append", lambda: appends.measure(here)),
            measured("refusals in masses", lambda: denials.measure(here)),
            measured("sign and verify", lambda: signatures.measure(here)),
        ]
    sections += [
        measured("serve", predictions.measure),
        measured("zone store", storing.measure),
        measured("verify a ledger", verifying.measure),
        measured("access decisions", decisions.measure),
        measured("residency and gates", rules.measure),
    ]
    seconds = time.monotonic() - started
    page.write(path, page.Run(began, seconds, postgres, load), sections)
    console.print(f"[dim]khatim bench:[/] {path} written after {seconds:.0f} s")


def _postgres(url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else "unknown"
