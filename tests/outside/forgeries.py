# SPDX-License-Identifier: Apache-2.0
"""Forged bundles, and how each verifier names each: sigstore-python 4.5, cosign 3.1, sigstore-js 4.1, and ours.

None of the others looks at everything.  Where a tool accepts a forgery the table says so (`ACCEPTS`), and a test fails
on the day that changes.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from audit.checkpoint import Checkpoint, NoteSigner, sign_note
from registry.signing.authority import Authority
from registry.signing.encoding import b64
from registry.signing.signer import LocalSigner
from tests.outside.office import (
    AGENT,
    ISSUER,
    Edit,
    Office,
    bend,
    edited,
    entry,
    material,
    passed,
    proof,
    said_otherwise,
    stamps,
)  # fmt: skip

CONTENT = b"report"
ACCEPTS = ""  # the tool does not see it
UNREAD = "only supported with --new-bundle-format"  # how cosign says that it cannot read this as a bundle


class Said(NamedTuple):
    """How each tool names a forgery, and how we do."""

    python: str
    cosign: str
    js: str
    ours: str


def another_checkpoint(office: Office, bundle: str, change: Callable[[Checkpoint], Checkpoint]) -> str:
    """Return the bundle with another checkpoint, truly signed by the stolen key of the log."""
    key = office.authority.log._signer._key

    def edit(body: dict[str, Any]) -> None:
        true = Checkpoint(
            office.authority.log.origin, int(proof(body)["treeSize"]), base64.b64decode(proof(body)["rootHash"])
        )
        signed = sign_note(change(true).text(), NoteSigner(office.authority.log.origin, key))
        proof(body)["checkpoint"]["envelope"] = signed

    return edited(bundle, edit)


def another_line(bundle: str) -> str:
    """Return the bundle whose checkpoint's signature has one bit changed."""

    def edit(body: dict[str, Any]) -> None:
        checkpoint = proof(body)["checkpoint"]
        before, blob = checkpoint["envelope"].rstrip("\n").rsplit(" ", 1)
        data = bytearray(base64.b64decode(blob))
        data[-1] ^= 1
        checkpoint["envelope"] = f"{before} {b64(bytes(data))}\n"

    return edited(bundle, edit)


def foreign(office: Office, folder: Path) -> str:
    """Return what an authority of the same names, but other keys, signed."""
    other = Authority.create(folder / "other", "demo", office.clock)
    try:
        return LocalSigner(other, AGENT, ISSUER, office.clock).sign(passed(CONTENT))
    finally:
        other.close()


def with_timestamp_of(bundle: str, other: str) -> str:
    return edited(bundle, lambda body: stamps(body)[0].update(stamps(json.loads(other))[0]))


Forge = Callable[[Office, str, Path], str]


def by(edit: Edit) -> Forge:
    """Return what makes a forgery of the honest bundle by *edit*."""
    return lambda _, bundle, __: edited(bundle, edit)


FORGERIES: dict[str, tuple[Forge, Said]] = {
    "payload": (
        by(said_otherwise),
        Said("DSSE: invalid signature", "does not match expected root", "TLOG_BODY_ERROR", "not over this statement"),
    ),
    "signature": (
        by(bend(lambda body: body["dsseEnvelope"]["signatures"][0], "sig")),
        Said("not enough sources of verified time", "does not match expected root", "TIMESTAMP_ERROR", "no timestamp"),
    ),
    "certificate": (
        by(bend(lambda body: material(body)["certificate"], "rawBytes")),
        Said("candidates exhausted", "does not match expected root", "CERTIFICATE_ERROR", "certificate"),
    ),
    "log entry": (
        by(bend(entry, "canonicalizedBody", 60)),
        Said("invalid log entry", UNREAD, "TLOG_INCLUSION_PROOF_ERROR", "log"),
    ),
    "root": (by(bend(proof, "rootHash")), Said("invalid log entry", ACCEPTS, ACCEPTS, "log")),
    "path": (
        by(lambda body: proof(body)["hashes"].reverse()),
        Said("invalid log entry", "does not match expected root", "TLOG_INCLUSION_PROOF_ERROR", "log"),
    ),
    "checkpoint's signature": (
        lambda _, bundle, __: another_line(bundle),
        Said("keyring: invalid signature", "invalid signature for key", "TLOG_INCLUSION_PROOF_ERROR", "log"),
    ),
    "checkpoint of another origin": (
        lambda office, bundle, _: another_checkpoint(
            office, bundle, lambda true: dataclasses.replace(true, origin="evil.example")
        ),
        Said(ACCEPTS, "got Origin", ACCEPTS, "of the log 'evil.example'"),
    ),
    "checkpoint of another size": (
        lambda office, bundle, _: another_checkpoint(
            office, bundle, lambda true: dataclasses.replace(true, size=999_999)
        ),
        Said(ACCEPTS, "wrong proof size", "TLOG_INCLUSION_PROOF_ERROR", "another tree"),
    ),
    "index beside the proof": (
        by(lambda body: entry(body).update(logIndex="1")),
        Said(ACCEPTS, "wrong proof size", ACCEPTS, "another entry"),
    ),
    "size of the proof": (
        by(lambda body: proof(body).update(treeSize="999999")),
        Said("wrong size", ACCEPTS, ACCEPTS, "log"),
    ),
    "log id": (
        by(lambda body: entry(body)["logId"].update(keyId=b64(b"x" * 32))),
        Said("not found for log ID", "0 < 1", "TLOG_INCLUSION_PROOF_ERROR", "log"),
    ),
    "no log entry": (
        by(lambda body: material(body)["tlogEntries"].clear()),
        Said("exactly one log entry", "0 < 1", "TLOG_ERROR", "no log entry"),
    ),
    "two log entries": (
        by(lambda body: material(body)["tlogEntries"].append(entry(body))),
        Said("exactly one log entry", "duplicate tlog entries", "TLOG_ERROR", "2 log entries"),
    ),
    "no timestamp": (
        by(lambda body: stamps(body).clear()),
        Said("signed timestamp", "0 < 1", "TIMESTAMP_ERROR", "no timestamp"),
    ),
    "two timestamps": (
        by(lambda body: stamps(body).append(stamps(body)[0])),
        Said("duplicate timestamp", ACCEPTS, "TIMESTAMP_ERROR", "the same timestamp twice"),
    ),
    "timestamp": (
        by(bend(lambda body: stamps(body)[0], "signedTimestamp")),
        Said("not enough sources of verified time", "ECDSA verification failure", "TIMESTAMP_ERROR", "timestamp"),
    ),
    "timestamp of another signature": (
        lambda office, bundle, _: with_timestamp_of(bundle, office.sign(passed(CONTENT))),
        Said("not enough sources of verified time", "hashed messages don't match", "TIMESTAMP_ERROR", "timestamp"),
    ),
    "late timestamp": (
        lambda office, _, __: office.sign(passed(CONTENT), late=timedelta(minutes=6)),
        Said("not valid at validation time", "leaf certificate verification failed", "CERTIFICATE_ERROR", "timestamp"),
    ),
    "two signatures": (
        by(lambda body: body["dsseEnvelope"]["signatures"].append(body["dsseEnvelope"]["signatures"][0])),
        Said("exactly one signature", "exactly one signature", "content.dsseEnvelope.signatures", "2 signatures"),
    ),
    "payload type": (
        by(lambda body: body["dsseEnvelope"].update(payloadType="text/plain")),
        Said("DSSE: invalid signature", "does not match expected root", "TLOG_BODY_ERROR", "not an in-toto statement"),
    ),
    "media type": (
        by(lambda body: body.update(mediaType="application/vnd.dev.sigstore.bundle.v9.9+json")),
        Said("mediaType", UNREAD, ACCEPTS, "media type"),
    ),
    "unknown member": (
        by(lambda body: material(body).update(critical={"revoked": True})),
        Said("extra_forbidden", UNREAD, ACCEPTS, "'critical'"),
    ),
    "foreign authority": (
        lambda office, _, folder: foreign(office, folder),
        Said("not enough sources of verified time", "0 < 1", "TIMESTAMP_ERROR", "authority"),
    ),
}
