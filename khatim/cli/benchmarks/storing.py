# SPDX-License-Identifier: Apache-2.0
"""The zone's encrypted store, beside plain hashing and a plain file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from khatim.cli.benchmarks.figures import MILLION, Section, faster, moved
from khatim.vocabulary import Digest

SIZE = 128 << 20
_CHUNK = 1 << 20


def measure() -> Section:
    """Measure one large blob, in and out."""
    from runners.zone.store import ZoneStore

    data = os.urandom(_CHUNK) * (SIZE // _CHUNK)
    digest = Digest.of(data)

    def chunks() -> Iterator[bytes]:
        return (data[start : start + _CHUNK] for start in range(0, SIZE, _CHUNK))

    with tempfile.TemporaryDirectory(prefix="khatim-bench-") as folder:
        store = ZoneStore.create(Path(folder) / "store", "ae-health")
        put = moved("put: encrypt, hash, flush", lambda: store.put(chunks(), expect=digest, max_size=SIZE), SIZE)
        get = moved("get: decrypt, authenticate, hash", lambda: [len(one) for one in store.chunks(digest)], SIZE)
        plain = Path(folder) / "plain"
        write = moved("*anchor:* hash, write to a plain file, flush", lambda: _plain(plain, data), SIZE)
    hashed = moved("*anchor:* SHA-256 alone", lambda: sha256(data).digest(), SIZE)
    return Section(
        "Zone store",
        f"One blob of {SIZE / MILLION:,.0f} MB in 1 MiB parts, one thread, the fastest of three. The store encrypts "
        "with AES-256-GCM-HKDF in 1 MiB segments under the zone's key, hashes the plaintext, and has it on the disk "
        "when `put` returns; `get` authenticates each segment before it gives it out.",
        (put, get, write, hashed),
        (
            faster("speed of put ÷ SHA-256 alone", put, hashed),
            faster("speed of put ÷ a plain file with its hash", put, write),
            faster("speed of get ÷ SHA-256 alone", get, hashed),
        ),
    )


def _plain(path: Path, data: bytes) -> None:
    sha256(data).digest()
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
