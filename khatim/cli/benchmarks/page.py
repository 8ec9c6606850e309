# SPDX-License-Identifier: Apache-2.0
"""The page that a run writes: what was measured, on what machine, with which versions."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from khatim.cli.benchmarks.figures import Figure, Section

PACKAGES = (
    "fastapi", "starlette", "uvicorn", "pydantic", "sqlalchemy", "psycopg", "casbin", "cryptography", "sigstore",
    "rfc8785", "tink", "onnxruntime", "scikit-learn", "skl2onnx", "numpy", "orjson", "pyarrow",
)  # fmt: skip
_SHORT = 1e-4
_HEAD = """# Benchmarks

This page is written by `make bench`, whole, from one run; nobody edits it.
Each number stands beside a plain way of doing the same thing (*anchor*), measured in the same run on the same machine.
Read the ratios; the absolute numbers are those of this machine on that day.
Nothing here is a test: no test depends on time.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: when, how long (seconds), on which PostgreSQL, and the load average before it."""

    began: datetime
    seconds: float
    postgres: str
    load: str


def write(path: Path, run: Run, sections: Sequence[Section]) -> None:
    """Write the page to *path*."""
    lines = [_HEAD, "## The run", "", *_run(run)]
    for section in sections:
        lines += ["", f"## {section.title}", "", *_sentences(section.how), "", *_table(section.figures)]
        if section.ratios:
            lines += ["", "| compared | ratio |", "| --- | ---: |"]
            lines += [f"| {ratio.claim} | {_number(ratio.value)} × |" for ratio in section.ratios]
        if section.remarks:
            lines += ["", *section.remarks]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _run(run: Run) -> list[str]:
    rows = {
        "date": f"{run.began:%Y-%m-%d %H:%M} UTC, {run.seconds:.0f} s in all",
        "processor": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load average before the run": run.load,
        "Python": platform.python_version(),
        "PostgreSQL": run.postgres,
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }
    note = (
        "Server, database, sequencer, anchors and load generator share these cores, so a rate with several clients "
        "says what the machine does as a whole."
    )
    busy = "A load average near or above the number of cores before the run means that others were using the machine."
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), "", note, busy]


def _table(figures: Sequence[Figure]) -> list[str]:
    head = ["", "a second", "p50", "p99"]
    rows = [f"| {_named(figure)} | {_rate(figure)} | {_time(figure.p50)} | {_time(figure.p99)} |" for figure in figures]
    return [f"| {' | '.join(head)} |", "| --- | ---: | ---: | ---: |", *rows]


def _named(figure: Figure) -> str:
    return f"{figure.what} ({figure.note})" if figure.note else figure.what


def _rate(figure: Figure) -> str:
    return "" if figure.rate is None else f"{_number(figure.rate)} {figure.unit}".strip()


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{_number(seconds * 1e3)} ms" if seconds >= _SHORT else f"{_number(seconds * 1e6)} µs"


def _number(value: float) -> str:
    """Write three significant digits, no more: a run is not more exact."""
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{round(value, digits):,.{min(digits, 5)}f}"


def _sentences(text: str) -> list[str]:
    return text.replace(". ", ".\n").splitlines()


def _cpu() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
