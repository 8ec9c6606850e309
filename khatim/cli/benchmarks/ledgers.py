# SPDX-License-Identifier: Apache-2.0
"""A large ledger in a folder, as an export leaves it: events of the kinds and sizes of a registry in use.

The events are made from a few forms; envelope, chain, tiles and checkpoint come from the ledger's own code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

ORIGIN = "ledger.bench.khatim"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_STEP = timedelta(milliseconds=31_013)  # a million entries in a year
# What stands in a form, until each event puts its own in: all are text that canonical JSON writes as it is.
_AT, _ID, _DIGEST, _PERSON = "@at", "@id", "@digest", "@person"
_ADVICE = "Run an evaluation job on held-out data, and ask a validator who had no hand in the model."


@dataclass(frozen=True, slots=True)
class Written:
    """A ledger in *folder*: its verifier key, the paths of its bundles in order, and their bytes."""

    folder: Path
    vkey: str
    bundles: tuple[Path, ...]
    size: int


def bodies(count: int) -> Iterator[bytes]:
    """Yield *count* bodies of events: canonical JSON of 460 bytes on average (the demo's have 480)."""
    forms = _forms()
    for number in range(count):
        digest = sha256(number.to_bytes(8, "big")).hexdigest()
        identity = f"{digest[:8]}-{digest[8:12]}-7{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
        at = (BEGAN + number * _STEP).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield forms[number % len(forms)] % {
            b"at": at.encode(),
            b"id": identity.encode(),
            b"digest": digest.encode(),
            b"person": f"p-{digest[-20:]}".encode(),
        }


def write(folder: Path, count: int) -> Written:
    """Write a ledger of *count* entries; its key is thrown away."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit import entries
    from audit.checkpoint import Checkpoint, NoteSigner, sign_checkpoint
    from audit.merkle import leaf_hash
    from audit.tiles import CHECKPOINT, WIDTH, Frontier, TileRef, encode_bundle

    signer, frontier, prev = NoteSigner(ORIGIN, Ed25519PrivateKey.generate()), Frontier(), entries.NO_ENTRY
    bundles, waiting, size = list[Path](), list[bytes](), 0
    following = bodies(count - 1)

    def put(path: str, data: bytes) -> Path:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    body = entries.genesis_body(ORIGIN, signer.vkey, BEGAN)
    for index in range(count):
        entry = entries.build(body, index, prev)
        prev = entries.link_of(entry)
        waiting.append(entry)
        for tile in frontier.append(leaf_hash(entry)):
            put(TileRef(tile.level, tile.number).path, tile.hashes)
        if len(waiting) == WIDTH or index == count - 1:
            data = encode_bundle(waiting)
            bundles.append(put(TileRef(None, index // WIDTH, len(waiting)).path, data))
            size += len(data)
            waiting.clear()
        body = next(following, b"")
    for path, data in frontier.unfinished():
        put(path, data)
    put(CHECKPOINT, sign_checkpoint(Checkpoint(ORIGIN, count, frontier.root()), signer).encode())
    return Written(folder, signer.vkey, tuple(bundles), size)


def _forms() -> list[bytes]:
    """Return the events of one round: an agent's work, a version's way, now and then a refusal with its reasons."""
    agent, job = f"agent:{_ID}", f"job:oncology/{_ID}"
    placed = {"basis": "ae-health/same-emirate", "media_type": "text/csv", "size": 125230, "tags": ["health.ae"]}
    admitted = {
        "digest": f"sha256:{_DIGEST}", "identity": f"spiffe://bench.khatim/agent/ae-health/{_ID}",
        "predicate_type": "https://slsa.dev/provenance/v1", "signed_at": _AT, "statement": _ID,
    }  # fmt: skip
    scanned = {"digest": f"sha256:{_DIGEST}", "evidence_kind": "scan", "result": "PASSED", "statement": _ID}
    promoted = {
        "because": "evaluated, and approved by three people", "before": "none", "gate": "production",
        "policy": f"sha256:{_DIGEST}", "to": "production",
    }  # fmt: skip
    granted = {
        "binding": {
            "datasets": [f"sha256:{_DIGEST}"], "evidence": [f"sha256:{_DIGEST}"], "policy": f"sha256:{_DIGEST}",
            "tier": 2, "transition": "production", "version": f"sha256:{_DIGEST}", "zone": "ae-health",
        },
        "expires_at": _AT, "role": "validator", "statement": _ID,
    }  # fmt: skip
    unmet = {
        "advice": _ADVICE, "certainty": "S", "legal_basis": "ISO/IEC 42001:2023 A.6.2.4; EU AI Act Art 10",
        "reason": "no signed evaluation of this version", "rule": "production/evaluated",
    }  # fmt: skip
    refused = {
        "action": "version.promote", "detail": "Not met for production: no signed evaluation of this version.",
        "error": "gate-not-satisfied", "members": {"policy": f"sha256:{_DIGEST}", "unmet": [unmet] * 5},
    }  # fmt: skip
    version = "version:oncology/malignancy@1"
    work = [
        _form("job.requested", job, {"job_kind": "ingest", "spec": f"sha256:{_DIGEST}", "subject": "dataset:a/b"}),
        _form("job.claimed", job, {"agent": agent, "attempt": 1, "fence": 1}, agent),
        _form("artifact.placed", f"artifact:sha256:{_DIGEST}", placed, agent),
        _form("statement.admitted", "dataset:oncology/wdbc@1", admitted, agent),
        _form("job.ended", job, {"fence": 1, "outcome": "dataset:oncology/wdbc@1", "state": "done"}, agent),
    ]
    way = [
        _form("evidence.submitted", version, scanned, agent),
        _form("approval.granted", version, granted),
        _form("version.promoted", version, promoted),
        _form("person.known", f"person:{_PERSON}", {}),
    ]
    return [*work, *way[:1], *work, *way[1:2], *work, *way[2:], _form("version.refused", version, refused)]


def _form(kind: str, resource: str, payload: dict[str, Any], actor: str = _PERSON) -> bytes:
    from audit.canonical import canonical

    event = {
        "actor": actor, "at": _AT, "entity": "local", "kind": kind, "namespace": "oncology", "payload": payload,
        "resource": resource, "version": 1, "zone": "ae-health",
    }  # fmt: skip
    made = canonical(event).replace(b"%", b"%%")
    for name in (_AT, _ID, _DIGEST, _PERSON):
        made = made.replace(name.encode(), b"%%(%s)b" % name[1:].encode())
    return made
