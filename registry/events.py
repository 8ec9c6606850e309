# SPDX-License-Identifier: Apache-2.0
"""The events of the registry, one frozen dataclass per kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class PersonKnown(Event):
    """A person was seen for the first time; the name stands outside the ledger."""

    kind: ClassVar[str] = "person.known"


@dataclass(frozen=True, kw_only=True)
class PersonIdentified(Event):
    """Somebody was shown who stands behind a reference (a sensitive read)."""

    kind: ClassVar[str] = "person.identified"
    because: str


@dataclass(frozen=True, kw_only=True)
class PersonErasureRequested(Event):
    """The erasure of a person was asked for."""

    kind: ClassVar[str] = "person.erasure_requested"
    legal_basis: str
    because: str


@dataclass(frozen=True, kw_only=True)
class PersonErased(Event):
    """A tombstone: a person's record was deleted and its key destroyed; `repeated` after a restore brought it back."""

    kind: ClassVar[str] = "person.erased"
    legal_basis: str
    because: str
    requested_by: str
    approved_by: str
    repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class ArtifactUploadAuthorised(Event):
    """A ticket to bring bytes into a zone was issued."""

    kind: ClassVar[str] = "artifact.upload_authorised"
    size: int
    media_type: str
    rule: str
    because: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class ArtifactDownloadAuthorised(Event):
    """A ticket to take bytes out of a zone's store was issued (a sensitive read)."""

    kind: ClassVar[str] = "artifact.download_authorised"
    to_zone: str
    rule: str
    because: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class ArtifactPlaced(Event):
    """A zone's agent reported that it holds the bytes of a digest."""

    kind: ClassVar[str] = "artifact.placed"
    size: int
    media_type: str
    basis: str
    tags: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ArtifactTagged(Event):
    """The same bytes came again with further tags; the copy carries them from now on."""

    kind: ClassVar[str] = "artifact.tagged"
    tags: Sequence[str]
    added: Sequence[str]
    basis: str


@dataclass(frozen=True, kw_only=True)
class TransferRequested(Event):
    """Somebody asked that data may move from one zone to another."""

    kind: ClassVar[str] = "transfer.requested"
    to_zone: str
    terms: Mapping[str, Any]
    policy: str


@dataclass(frozen=True, kw_only=True)
class TransferApproved(Event):
    """Another person approved it."""

    kind: ClassVar[str] = "transfer.approved"
    to_zone: str
    because: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class TransferRevoked(Event):
    """It was taken back; nothing moves on it any more."""

    kind: ClassVar[str] = "transfer.revoked"
    to_zone: str
    because: str


@dataclass(frozen=True, kw_only=True)
class StatementAdmitted(Event):
    """A signed statement was verified and kept; the digest of its bundle makes the ledger vouch for its bytes."""

    kind: ClassVar[str] = "statement.admitted"
    statement: str
    digest: str
    predicate_type: str
    identity: str
    signed_at: str


@dataclass(frozen=True, kw_only=True)
class RevocationRecorded(Event):
    """A statement, key, identity or artifact was revoked; since when it is not to be believed, and what it touched."""

    kind: ClassVar[str] = "revocation.recorded"
    number: int
    revoked: str
    target: str
    since: str
    because: str
    subject: str = ""
    touched: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RevocationLifted(Event):
    """A second person ended a revocation; what it covered until then stays as it is."""

    kind: ClassVar[str] = "revocation.lifted"
    number: int
    lifts: int
    revoked: str
    target: str
    because: str
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetRegistered(Event):
    """A dataset version was registered."""

    kind: ClassVar[str] = "dataset.registered"
    digest: str
    source: str
    rows: int
    quarantined: int
    tags: Sequence[str]
    statement: str


@dataclass(frozen=True, kw_only=True)
class FeaturesRegistered(Event):
    """A feature view version was materialised and registered."""

    kind: ClassVar[str] = "features.registered"
    digest: str
    dataset: str
    schema: str
    rows: int
    tags: Sequence[str]
    statement: str


@dataclass(frozen=True, kw_only=True)
class ModelCreated(Event):
    """A registered model was created."""

    kind: ClassVar[str] = "model.created"
    tier: int


@dataclass(frozen=True, kw_only=True)
class VersionRegistered(Event):
    """A model version was registered; its files are not scanned yet."""

    kind: ClassVar[str] = "version.registered"
    digest: str
    files: Sequence[Mapping[str, Any]]
    parents: Sequence[str]
    tags: Sequence[str]
    statements: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class VersionScanned(Event):
    """The files of a version were scanned; it is ready or failed."""

    kind: ClassVar[str] = "version.scanned"
    status: str
    findings: Sequence[Mapping[str, Any]] = ()
    statement: str = ""
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class VersionRevoked(Event):
    """A version was revoked; runners stop it."""

    kind: ClassVar[str] = "version.revoked"
    because: str


@dataclass(frozen=True, kw_only=True)
class AliasMoved(Event):
    """An alias now points to another version; `protected_by` names the rules that it had to meet."""

    kind: ClassVar[str] = "alias.moved"
    number: int
    before: int | None = None
    because: str = ""
    protected_by: Sequence[str] = ()
    policy: str = ""
