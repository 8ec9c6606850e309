# SPDX-License-Identifier: Apache-2.0
"""Verifying a ledger of a million entries in a folder, beside hashing the very same bytes and doing nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from khatim.cli.benchmarks import ledgers
from khatim.cli.benchmarks.figures import MILLION, Figure, Ratio, Section
from khatim.errors import VerificationFailed

ENTRIES = 1_000_000
# In a process of its own, so that the memory is that of verifying and of nothing else.
_VERIFY = """
import resource, sys, time
from pathlib import Path
from audit.verify import Demands, FolderSource, verify_ledger
demands = Demands(processes=int(sys.argv[3]), tree_only=sys.argv[4] == "tree")
began = time.perf_counter()
found = verify_ledger(FolderSource(Path(sys.argv[1])), sys.argv[2], demands)
seconds = time.perf_counter() - began
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(found.size, seconds, own, worker)
"""
# Its parts take as long as the machine lets them at that moment, so that each stands beside an anchor of the same one.
_ROUNDS = 2
_REMARK = (
    "The aim was two for the anchor's one; the ratios say what was reached. Two hashes an entry and one an inner node "
    "are three calls where the anchor has none, and what is left over is Python's: it shrinks with the cores, for a "
    "block of 16,384 entries is one process's own work, and on two cores it stays above the aim."
)


@dataclass(frozen=True, slots=True)
class Pass:
    """One way of verifying: what it is called, with how many processes, everything or the ``tree`` alone."""

    what: str
    processes: int
    reads: str


def measure(entries: int = ENTRIES) -> Section:
    """Write the ledger, read it once so that it lies in memory, and measure; about a minute."""
    from audit.verify_blocks import usable_cores

    cores = usable_cores()
    passes = [
        Pass("verify everything, one process", 1, "all"),
        Pass(f"verify everything, {cores} processes", cores, "all"),
        Pass("verify the tree alone, one process", 1, "tree"),
        Pass(f"verify the tree alone, {cores} processes", cores, "tree"),
    ]
    taken: dict[Pass, list[float]] = {one: [] for one in passes}
    ratios: dict[Pass, list[float]] = {one: [] for one in passes}
    peaks: dict[Pass, float] = {}
    anchor: list[float] = []
    with tempfile.TemporaryDirectory(prefix="khatim-bench-") as name:
        made = ledgers.write(Path(name), entries)
        _streamed(made)
        for _ in range(_ROUNDS):
            for one in passes:
                before = _streamed(made)
                seconds, peaks[one] = _verified(made, one, entries)
                beside = [before, _streamed(made)]
                taken[one].append(seconds)
                ratios[one].append(seconds / (sum(beside) / 2))
                anchor += beside
    figures = [Figure(one.what, entries / min(taken[one]), note=f"at most {peaks[one]:,.0f} MB") for one in passes]
    streamed = Figure("*anchor:* one SHA-256 over the same bytes, read in the same way", entries / min(anchor))
    return Section(
        "Verifying a ledger",
        f"{entries:,} entries of {made.size / entries:,.0f} bytes, of the kinds and sizes that the demo leaves, in a "
        f"folder of tiles, in the page cache; the faster of {_ROUNDS}. To verify everything is: every leaf hashed and "
        "compared with its tile, every link of the chain hashed and compared, index and form of every envelope, every "
        "event checked to be JSON with kind and moment, every tile and the root derived, the checkpoint's signature. "
        "The tree alone (`--tree-only`) leaves out links, envelopes and events. The anchor reads the bundles and "
        "hashes them as one stream, in one process. Memory is the peak of the first process plus that of the largest "
        "worker times their number: pages that they share count each time.",
        (*figures, streamed),
        tuple(Ratio(f"time to {one.what} ÷ the anchor's before and after it", min(ratios[one])) for one in passes),
        (_REMARK,),
    )


def _verified(made: ledgers.Written, one: Pass, entries: int) -> tuple[float, float]:
    """Verify; return seconds and the peak memory of all processes in megabytes (10**6 bytes)."""
    command = [sys.executable, "-c", _VERIFY, str(made.folder), made.vkey, str(one.processes), one.reads]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    size, seconds, own, worker = done.stdout.split()
    if int(size) != entries:
        raise VerificationFailed(f"{size} entries were verified, not {entries}")
    return float(seconds), (int(own) + one.processes * int(worker)) * 1024 / MILLION


def _streamed(made: ledgers.Written) -> float:
    """Return the seconds that reading and hashing the bundles as one stream takes."""
    began, found = time.perf_counter(), sha256()
    for file in made.bundles:
        with file.open("rb", buffering=0) as bundle:
            found.update(bundle.read())
    return time.perf_counter() - began
