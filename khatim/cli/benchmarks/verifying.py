# SPDX-License-Identifier: Apache-2.0
"""Verifying a ledger of a million entries in a folder, beside hashing the very same bytes and doing nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from khatim.cli.benchmarks.figures import MILLION, Figure, Section, faster
from khatim.errors import VerificationFailed

ENTRIES = 1_000_000
ORIGIN = "ledger.bench.khatim"
# In a process of its own, so that the memory is that of verifying and of nothing else.
_VERIFY = """
import resource, sys, time
from pathlib import Path
from audit.verify import Demands, FolderSource, verify_ledger
began = time.perf_counter()
found = verify_ledger(FolderSource(Path(sys.argv[1])), sys.argv[2], Demands(processes=int(sys.argv[3])))
seconds = time.perf_counter() - began
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(found.size, seconds, own, workers)
"""


def measure() -> Section:
    """Write the ledger, read it once so that it lies in memory, and measure."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="khatim-bench-") as name:
        folder = Path(name)
        vkey, files, size = _written(folder)
        _timed(lambda: _streamed(files))
        streamed = Figure("*anchor:* one SHA-256 over the same bytes", ENTRIES / _timed(lambda: _streamed(files)))
        each = Figure("*anchor:* a SHA-256 of each entry", ENTRIES / _timed(lambda: _each(files)))
        one, _ = _verified(folder, vkey, 1)
        all_, memory = _verified(folder, vkey, cores)
    ours = Figure("verify, one process", ENTRIES / one)
    shared = Figure(f"verify, {cores} processes", ENTRIES / all_, note=f"at most {memory:,.0f} MB in one process")
    return Section(
        "Verifying a ledger",
        f"{ENTRIES:,} entries of {size / ENTRIES:,.0f} bytes in a folder of tiles, in the page cache. To verify is: "
        "every leaf hashed and compared with its tile, every link of the chain hashed and compared, kind and moment "
        "of every event read, every tile and the root derived, the checkpoint's signature. That is two hashes an entry "
        "and one an inner node. The anchors hash the bundles' bytes once: as one stream, and entry by entry.",
        (ours, shared, streamed, each),
        (
            faster(f"entries a second, {cores} processes ÷ one SHA-256 over the same bytes", shared, streamed),
            faster(f"… {cores} processes ÷ a SHA-256 of each entry", shared, each),
            faster("… one process ÷ a SHA-256 of each entry", ours, each),
        ),
        ("The aim was half the speed of one SHA-256 over the same bytes; see the ratio for what was reached.",),
    )


def _written(folder: Path) -> tuple[str, list[Path], int]:
    """Write a ledger; return its verifier key, its bundles, and their bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit import entries
    from audit.checkpoint import Checkpoint, NoteSigner, sign_checkpoint
    from audit.merkle import leaf_hash
    from audit.tiles import WIDTH, Frontier, TileRef, encode_bundle
    from audit.transaction import utc_now
    from khatim.cli.benchmarks.writers import event_body

    signer, frontier, prev = NoteSigner(ORIGIN, Ed25519PrivateKey.generate()), Frontier(), entries.NO_ENTRY
    files, waiting, size = list[Path](), list[bytes](), 0
    body = entries.genesis_body(ORIGIN, signer.vkey, utc_now())

    def write(path: str, data: bytes) -> Path:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    for index in range(ENTRIES):
        entry = entries.build(body if index == 0 else event_body("bench", index), index, prev)
        prev = entries.link_of(entry)
        waiting.append(entry)
        for tile in frontier.append(leaf_hash(entry)):
            write(TileRef(tile.level, tile.number).path, tile.hashes)
        if len(waiting) == WIDTH or index == ENTRIES - 1:
            data = encode_bundle(waiting)
            files.append(write(TileRef(None, index // WIDTH, len(waiting)).path, data))
            size += len(data)
            waiting.clear()
    for path, data in frontier.unfinished():
        write(path, data)
    write("checkpoint", sign_checkpoint(Checkpoint(ORIGIN, ENTRIES, frontier.root()), signer).encode())
    return signer.vkey, files, size


def _verified(folder: Path, vkey: str, processes: int) -> tuple[float, float]:
    """Verify; return seconds and the peak memory of one process in megabytes (10**6 bytes)."""
    command = [sys.executable, "-c", _VERIFY, str(folder), vkey, str(processes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    size, seconds, *memory = done.stdout.split()
    if int(size) != ENTRIES:
        raise VerificationFailed(f"{size} entries were verified, not {ENTRIES}")
    return float(seconds), max(map(int, memory)) * 1024 / MILLION


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _streamed(files: list[Path]) -> bytes:
    found = sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.digest()


def _each(files: list[Path]) -> None:
    from audit.tiles import decode_bundle

    for file in files:
        for entry in decode_bundle(file.read_bytes()):
            sha256(entry).digest()
