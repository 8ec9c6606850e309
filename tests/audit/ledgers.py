# SPDX-License-Identifier: Apache-2.0
"""What the tests of the ledger share: events, a signing key, a ledger made without a database, a ledger in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import entries
from audit.canonical import canonical
from audit.checkpoint import Checkpoint, NoteSigner, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from audit.sequencer import Sequencer
from audit.tiles import CHECKPOINT, bundles_of, payload_path, tiles_of
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Digest

ORIGIN = "ledger.test.khatim"
OPENED = datetime(2026, 11, 23, 2, 30, 0, 123456, tzinfo=UTC)


def signer_named(name: str = ORIGIN) -> NoteSigner:
    """Return a signer whose key follows from its name."""
    return NoteSigner(name, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


SIGNER = signer_named()


def event_body(number: int, *, kind: str = "version.promoted", **members: Any) -> bytes:
    """Return the body of an event that carries *number*; *members* replace or add members."""
    at = (OPENED + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = {
        "actor": f"person:{number % 3}",
        "at": at,
        "entity": "tests",
        "kind": kind,
        "namespace": "oncology",
        "payload": {"number": number},
        "resource": f"version:oncology/malignancy@{number}",
        "version": 1,
        "zone": "ae-health",
    }
    return canonical({**body, **members})


@dataclass
class MemoryLedger:
    """An exported ledger as a dict of files; a `TileSource`."""

    files: dict[str, bytes] = field(default_factory=dict)

    def checkpoint(self) -> str:
        """Return the checkpoint; what is not UTF-8 is made to fail."""
        return self.files[CHECKPOINT].decode(errors="surrogateescape")

    def read(self, path: str) -> bytes:
        """Return one file."""
        try:
            return self.files[path]
        except KeyError:
            raise LedgerInvalid(f"{path} is missing", place=path) from None

    def changed(self, path: str, at: int, flip: int = 1) -> MemoryLedger:
        """Return a copy with one byte changed."""
        data = bytearray(self.files[path])
        data[at] ^= flip
        return MemoryLedger({**self.files, path: bytes(data)})


def chained(bodies: Iterable[bytes]) -> list[bytes]:
    """Return the entries of *bodies*, linked."""
    made: list[bytes] = []
    prev = entries.NO_ENTRY
    for index, body in enumerate(bodies):
        made.append(entries.build(body, index, prev))
        prev = entries.link_of(made[-1])
    return made


def exported(made: list[bytes], payloads: Iterable[bytes] = (), signer: NoteSigner = SIGNER) -> MemoryLedger:
    """Return the exported ledger of ready *made* entries, whatever they say."""
    tree = Tree()
    for entry in made:
        tree.append(leaf_hash(entry))
    ledger = MemoryLedger({**dict(bundles_of(made)), **dict(tiles_of(tree))})
    ledger.files.update({payload_path(str(Digest.of(payload))): payload for payload in payloads})
    checkpoint = Checkpoint(signer.name, tree.size, tree.root())
    ledger.files[CHECKPOINT] = sign_checkpoint(checkpoint, signer).encode()
    return ledger


def ledger_of(count: int, body: Callable[[int], bytes] = event_body) -> MemoryLedger:
    """Return an honest ledger of *count* entries."""
    genesis = entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED)
    return exported(chained([genesis, *(body(number) for number in range(1, count))]))


@dataclass(frozen=True)
class LedgerDatabase:
    """A fresh database with the ledger's tables; connection strings by role."""

    url: Callable[[str], str]

    def connect(self, role: str = "postgres") -> psycopg.Connection[Any]:
        """Return a connection of *role* in autocommit."""
        return psycopg.connect(self.url(role), autocommit=True)

    def offer(self, *bodies: bytes, payload: bytes | None = None) -> None:
        """Leave events in the outbox, as the service does, in one transaction."""
        with self.connect("khatim_service") as conn, conn.transaction():
            query = "INSERT INTO ledger_outbox (body, payload) VALUES (%s, %s)"
            conn.cursor().executemany(query, [(body, payload) for body in bodies])

    def sequencer(self, **options: Any) -> Sequencer:
        """Return a sequencer of this database."""
        return Sequencer(self.url("khatim_sequencer"), ORIGIN, SIGNER, **options)

    def sequence_all(self, **options: Any) -> None:
        """Sequence until nothing waits."""
        sequencer = self.sequencer(**options)
        while sequencer.run_once():
            pass
        sequencer.close()

    def tamper(self, query: str, values: tuple[Any, ...] = ()) -> None:
        """Change the ledger as a superuser who switches the triggers off can."""
        with self.connect() as conn, conn.transaction():
            for table in ("ledger_entries", "ledger_tiles", "ledger_checkpoints", "ledger_payloads"):
                conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            conn.execute(query, values)
            for table in ("ledger_entries", "ledger_tiles", "ledger_checkpoints", "ledger_payloads"):
                conn.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER khatim_append_only")
