# SPDX-License-Identifier: Apache-2.0
"""Sigstore bundles, version 0.3: statement, signature, certificate, log entry and timestamp in one JSON document.

`build` writes what every Sigstore verifier reads; `parse` reads one strictly: one certificate (or the hint of one key),
one signature, one log entry with its inclusion proof, one timestamp or two, nothing besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.canonical import canonical
from khatim.errors import Malformed
from registry.signing.encoding import b64, members, strict_json, text_of, unb64
from registry.signing.statements import PAYLOAD_TYPE

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
KIND, KIND_VERSION = "hashedrekord", "0.0.2"
KEY_DETAILS = "PKIX_ECDSA_P256_SHA_256"
MOST_TIMESTAMPS = 2  # the operator's, and one of an authority outside
MAX_SIZE = 8 * 1024 * 1024  # characters: far above any statement, far below what would hurt


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the signature log with the proof that the log contains it."""

    index: int
    log_id: bytes
    body: bytes
    proof_index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """The parts of a bundle; nothing in it is verified yet.  Certificate and timestamps are DER.

    A bundle by a bare key has no certificate, and *hint* names the key (`registry.signing.bare_key`).
    """

    certificate: bytes
    payload: bytes
    payload_type: str
    signature: bytes
    entry: LogEntry
    timestamps: tuple[bytes, ...]
    hint: str = ""


def entry_body(digest: bytes, signature: bytes, certificate: bytes, key: bytes = b"") -> bytes:
    """Return the canonical body of a log entry: hashedrekord 0.0.2 over the SHA-256 *digest* of what was signed.

    *key* (SubjectPublicKeyInfo) stands for the certificate where a bare key signed.
    """
    named = {"publicKey": {"rawBytes": b64(key)}} if key else {"x509Certificate": {"rawBytes": b64(certificate)}}
    verifier = {"keyDetails": KEY_DETAILS, **named}
    record = {
        "data": {"algorithm": "SHA2_256", "digest": b64(digest)},
        "signature": {"content": b64(signature), "verifier": verifier},
    }
    return canonical({"apiVersion": KIND_VERSION, "kind": KIND, "spec": {"hashedRekordV002": record}})


def build(
    payload: bytes, signature: bytes, certificate: bytes, entry: Mapping[str, Any], *timestamps: bytes, hint: str = ""
) -> dict[str, Any]:
    """Return the bundle of a signed statement; *entry* is the log's TransparencyLogEntry.

    *timestamps* are the responses, the operator's first; *hint* names the key where there is no certificate.
    """
    signer = {"publicKey": {"hint": hint}} if hint else {"certificate": {"rawBytes": b64(certificate)}}
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            **signer,
            "tlogEntries": [dict(entry)],
            "timestampVerificationData": {
                "rfc3161Timestamps": [{"signedTimestamp": b64(one)} for one in timestamps],
            },
        },
        "dsseEnvelope": {
            "payload": b64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": b64(signature)}],
        },
    }


def dumps(bundle: Mapping[str, Any]) -> str:
    """Return the bundle as JSON text."""
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":"))


def parse(text: str) -> Bundle:
    """Read a bundle strictly; raises `Malformed` naming the part that is missing, too many, or written otherwise."""
    if len(text) > MAX_SIZE:
        raise Malformed(f"the bundle is over {MAX_SIZE} characters long")
    body = members(
        strict_json(text, "the bundle"), ("mediaType", "verificationMaterial", "dsseEnvelope"), (), "the bundle"
    )
    if body["mediaType"] != MEDIA_TYPE:
        raise Malformed(f"the bundle is not of media type {MEDIA_TYPE}")
    given = body["verificationMaterial"]
    signer = "publicKey" if isinstance(given, dict) and "publicKey" in given else "certificate"
    material = members(given, (signer, "tlogEntries", "timestampVerificationData"), (), "the verification material")
    stamps = members(material["timestampVerificationData"], ("rfc3161Timestamps",), (), "the timestamps")
    envelope = members(body["dsseEnvelope"], ("payload", "payloadType", "signatures"), (), "the envelope")
    signature = members(_only(envelope["signatures"], "signature", "signatures"), ("sig",), ("keyid",), "the signature")
    return Bundle(
        certificate=_raw(material[signer], "the certificate") if signer == "certificate" else b"",
        payload=unb64(envelope["payload"], "the payload"),
        payload_type=text_of(envelope["payloadType"], "the payload type"),
        signature=unb64(signature["sig"], "the signature"),
        entry=log_entry_of(_only(material["tlogEntries"], "log entry", "log entries")),
        timestamps=_timestamps(stamps["rfc3161Timestamps"]),
        hint=_hint(material[signer]) if signer == "publicKey" else "",
    )


def log_entry_of(value: object) -> LogEntry:
    """Read a TransparencyLogEntry (protobuf JSON) strictly; raises `Malformed`."""
    body = members(
        value,
        ("logIndex", "logId", "kindVersion", "inclusionProof", "canonicalizedBody"),
        ("integratedTime", "inclusionPromise"),
        "the log entry",
    )
    # A log of this kind promises nothing and tells no time; both may be written out as empty.
    if body.get("integratedTime") not in (None, "0") or body.get("inclusionPromise") is not None:
        raise Malformed("the log entry has an inclusion promise or a time; only proof and timestamp count here")
    kind = members(body["kindVersion"], ("kind", "version"), (), "the kind of the log entry")
    if (kind["kind"], kind["version"]) != (KIND, KIND_VERSION):
        raise Malformed(f"the log entry is not a {KIND} {KIND_VERSION}")
    proof = members(
        body["inclusionProof"],
        ("logIndex", "rootHash", "treeSize", "hashes", "checkpoint"),
        (),
        "the inclusion proof",
    )
    if not isinstance(proof["hashes"], list):
        raise Malformed("the inclusion proof has no list of hashes")
    checkpoint = members(proof["checkpoint"], ("envelope",), (), "the checkpoint")
    log_id = members(body["logId"], ("keyId",), (), "the id of the log")
    return LogEntry(
        index=_number(body["logIndex"], "the index of the log entry"),
        log_id=unb64(log_id["keyId"], "the id of the log"),
        body=unb64(body["canonicalizedBody"], "the body of the log entry"),
        proof_index=_number(proof["logIndex"], "the index of the inclusion proof"),
        size=_number(proof["treeSize"], "the tree size of the inclusion proof"),
        root=unb64(proof["rootHash"], "the root of the inclusion proof"),
        hashes=tuple(unb64(one, "a hash of the inclusion proof") for one in proof["hashes"]),
        checkpoint=text_of(checkpoint["envelope"], "the checkpoint"),
    )


def _timestamps(value: object) -> tuple[bytes, ...]:
    """Read one timestamp, or two that differ; raises `Malformed`."""
    listed = value if isinstance(value, list) else []
    if not 0 < len(listed) <= MOST_TIMESTAMPS:
        count = f"{len(listed)} timestamps" if listed else "no timestamp"
        raise Malformed(f"the bundle has {count}; one is wanted, or two of different authorities")
    named = (members(one, ("signedTimestamp",), (), "the timestamp") for one in listed)
    found = tuple(unb64(one["signedTimestamp"], "the timestamp") for one in named)
    if len(set(found)) != len(found):
        raise Malformed("the bundle has the same timestamp twice")
    return found


def _hint(value: object) -> str:
    return text_of(members(value, ("hint",), (), "the key")["hint"], "the hint of the key")


def _only(value: object, one: str, many: str) -> object:
    """Return the single item of a list; raises `Malformed` that says how many there are."""
    count = len(value) if isinstance(value, list) else 0
    if not isinstance(value, list) or count != 1:
        raise Malformed(f"the bundle has {f'{count} {many}' if count else f'no {one}'}; exactly one is wanted")
    return value[0]


def _raw(value: object, what: str) -> bytes:
    return unb64(members(value, ("rawBytes",), (), what)["rawBytes"], what)


def _number(value: object, what: str) -> int:
    """Read an unsigned 64-bit number as protobuf's JSON writes it: decimal text, no leading zero, no sign."""
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or str(int(value[:20])) != value:
        raise Malformed(f"{what} is not a number")
    return int(value)
