# SPDX-License-Identifier: Apache-2.0
"""in-toto statements: who claims what about which bytes, and the exact bytes that a signature covers.

A statement is ``subject`` (names and digests), ``predicateType`` and ``predicate`` (in-toto Statement v1).  What is
signed is its DSSE pre-authentication encoding (`pae`).  A written statement is canonical JSON; a statement that others
wrote may be spelt otherwise, its bytes are what counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from audit.canonical import canonical
from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing.encoding import members, strict_json, text_of

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

# Predicate types (trust.md A4): standard ones where there is one, our own where in-toto has none.
SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
OMS_SIGNATURE = "https://model_signing/signature/v1.0"
APPROVAL = "https://khatim.dev/attestations/approval/v1"
SELF_ATTESTATION = "https://khatim.dev/attestations/self-attestation/v1"
ASSIGNMENT = "https://khatim.dev/attestations/role-assignment/v1"
POLICY = "https://khatim.dev/attestations/policy-activation/v1"
WAIVER = "https://khatim.dev/attestations/waiver/v1"
DEPLOYMENT = "https://khatim.dev/attestations/deployment/v1"
ENGAGEMENT = "https://khatim.dev/attestations/engagement/v1"
ENDPOINT_STATUS = "https://khatim.dev/attestations/endpoint-status/v1"
REVOCATIONS = "https://khatim.dev/attestations/revocations/v1"

# SLSA build types: what kind of work a provenance statement is about.
DATASET_SNAPSHOT = "https://khatim.dev/buildtypes/dataset-snapshot/v1"
FEATURE_MATERIALIZATION = "https://khatim.dev/buildtypes/feature-materialization/v1"
TRAINING = "https://khatim.dev/buildtypes/training/v1"

_SUBJECT_ALGORITHMS = ("sha384", "sha512")  # allowed beside sha256; nothing here relies on them
_MAX_SUBJECTS = 10_000
_MAX_SIZE = 4 * 1024 * 1024  # bytes; what is larger is signed by the digest of a file that holds it


class Subject(NamedTuple):
    """What a statement is about: a name for people and the digest that counts."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement.  *payload* is the signed text itself; the rest is what it says."""

    payload: bytes
    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What sort of claim this is: the build type of a SLSA provenance, else the predicate type."""
        definition = self.predicate.get("buildDefinition")
        if self.predicate_type == SLSA_PROVENANCE and isinstance(definition, dict):
            return str(definition.get("buildType") or self.predicate_type)
        return self.predicate_type

    @property
    def digests(self) -> frozenset[Digest]:
        """The digests of the subjects."""
        return frozenset(subject.digest for subject in self.subjects)


def statement(subjects: Sequence[tuple[str, Digest]], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of a statement; raises `Malformed` if `parse` would not read it back."""
    written = canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest.hex}} for name, digest in subjects],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )
    parse(written)
    return written


def parse(payload: bytes) -> Statement:
    """Read a statement strictly; raises `Malformed` naming what is wrong (a key twice, no sha256, no subject, …)."""
    if len(payload) > _MAX_SIZE:
        raise Malformed(f"the statement is over {_MAX_SIZE} bytes long", advice="Refer to a file by its digest.")
    body = members(
        strict_json(payload, "the statement"), ("_type", "subject", "predicateType", "predicate"), (), "the statement"
    )
    if body["_type"] != STATEMENT_TYPE:
        raise Malformed(f"the statement is not of type {STATEMENT_TYPE}")
    predicate_type = text_of(body["predicateType"], "the predicate type")
    if not isinstance(body["predicate"], dict):
        raise Malformed("the predicate is not an object")
    if not isinstance(body["subject"], list) or not 0 < len(body["subject"]) <= _MAX_SUBJECTS:
        raise Malformed(f"a statement has 1 to {_MAX_SUBJECTS} subjects")
    subjects = tuple(_subject(one) for one in body["subject"])
    if len(set(subjects)) != len(subjects):
        raise Malformed("the statement names a subject twice")
    return Statement(payload, subjects, predicate_type, body["predicate"])


def _subject(value: object) -> Subject:
    body = members(value, ("name", "digest"), (), "a subject")
    name = text_of(body["name"], "the name of a subject")
    digests = members(body["digest"], ("sha256",), _SUBJECT_ALGORITHMS, f"the digest of {name[:80]!r}")
    try:
        return Subject(name, Digest(text_of(digests["sha256"], "the sha256")))
    except ValueError as wrong:
        raise Malformed(f"the sha256 of {name[:80]!r} is not 64 lower-case hexadecimal digits") from wrong


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return what is signed (DSSE v1, pre-authentication encoding): type and payload with their lengths."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
