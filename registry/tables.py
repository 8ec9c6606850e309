# SPDX-License-Identifier: Apache-2.0
"""What is registered.  Metadata, digests and signatures only: no byte of data or model ever stands in these tables."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Digest, Resource, Stage, VersionStatus
from registry.signing.deputies import KEY_ONLY


class Person(Base, Governed):
    """One natural person.  `ref` is opaque and never changes; `record` is encrypted, its key is not in the database.

    None in `record` means that nothing is kept yet; the row goes when the person is erased (`registry.erasure`).
    """

    __tablename__ = "people"

    ref_: Mapped[str] = mapped_column("ref", primary_key=True)
    record: Mapped[bytes | None] = mapped_column(LargeBinary)
    first_seen: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"person:{self.ref_}"


class Placement(Base, Governed):
    """One copy of one artifact in one zone; the bytes are in the zone's own store.  Its tags grow, no more.

    Without tags nobody said what the bytes are, and they are judged as personal.
    """

    __tablename__ = "placements"
    __table_args__ = (CheckConstraint("size >= 0", name="size"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    tags: Mapped[list[str]]
    basis: Mapped[str]
    placed_by: Mapped[str]
    placed_at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"artifact:{self.digest}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access and residency decide about."""
        return Resource("artifact", self.digest, zone=self.zone, tags=frozenset(self.tags))


class _Numbered(Governed):
    """What dataset versions, feature view versions and model versions share: a name, a number, a zone, tags."""

    KIND: ClassVar[str] = ""

    if TYPE_CHECKING:
        namespace: Mapped[str]
        name: Mapped[str]
        number: Mapped[int]
        zone: Mapped[str]
        tags: Mapped[list[str]]

    @property
    def path(self) -> str:
        """Return ``namespace/name@number``."""
        return f"{self.namespace}/{self.name}@{self.number}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource(self.KIND, f"{self.name}@{self.number}", self.namespace, self.zone, frozenset(self.tags))

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"{self.KIND}:{self.path}"


class DatasetVersion(Base, _Numbered):
    """An immutable, signed snapshot of data in one zone.  No column ever changes."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("namespace", "name", "number"),)
    KIND: ClassVar[str] = "dataset"

    id: Mapped[Identifier]
    namespace: Mapped[str]
    name: Mapped[str]
    number: Mapped[int]
    zone: Mapped[str]
    tags: Mapped[list[str]]
    digest: Mapped[str]
    source_digest: Mapped[str]
    quarantine_digest: Mapped[str | None]
    contract: Mapped[dict[str, Any]] = mapped_column(JSONB)
    report: Mapped[dict[str, Any]] = mapped_column(JSONB)
    registered_by: Mapped[str]
    registered_at: Mapped[Moment]


class FeatureViewVersion(Base, _Numbered):
    """An immutable, signed materialisation of a feature view.  No column ever changes."""

    __tablename__ = "feature_view_versions"
    __table_args__ = (UniqueConstraint("namespace", "name", "number"),)
    KIND: ClassVar[str] = "features"

    id: Mapped[Identifier]
    namespace: Mapped[str]
    name: Mapped[str]
    number: Mapped[int]
    zone: Mapped[str]
    tags: Mapped[list[str]]
    digest: Mapped[str]
    dataset_ref: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    arrow_schema: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    schema_digest: Mapped[str]
    rows: Mapped[int]
    registered_by: Mapped[str]
    registered_at: Mapped[Moment]


class Model(Base, Governed):
    """A registered model: the name under which versions stand.  Only the description changes."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[Identifier]
    namespace: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    tier: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"model:{self.namespace}/{self.name}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("model", self.name, self.namespace)


class ModelVersion(Base, _Numbered):
    """A model version: a manifest of files.  `stage`, `status` and their reasons change; the manifest never does."""

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("namespace", "name", "number"),
        Index("ix_model_versions_stage", "namespace", "name", "stage"),
        CheckConstraint(f"stage IN ({', '.join(repr(s.value) for s in Stage)})", name="stage"),
        CheckConstraint(f"status IN ({', '.join(repr(s.value) for s in VersionStatus)})", name="status"),
    )
    KIND: ClassVar[str] = "version"

    id: Mapped[Identifier]
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("models.id"))
    namespace: Mapped[str]
    name: Mapped[str]
    number: Mapped[int]
    zone: Mapped[str]
    tags: Mapped[list[str]]
    digest: Mapped[str]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSONB)
    training: Mapped[dict[str, Any]] = mapped_column(JSONB)
    stage: Mapped[str]
    status: Mapped[str]
    status_message: Mapped[str]
    revoked_because: Mapped[str | None]
    registered_by: Mapped[str]
    registered_at: Mapped[Moment]
    assurance: Mapped[str] = mapped_column(default="")  # once in production: independent, or self-attested

    @property
    def files(self) -> list[dict[str, Any]]:
        """Return the manifest's files: path, digest, size, role, format."""
        return list(self.manifest["files"])

    @property
    def subjects(self) -> list[tuple[str, Digest]]:
        """Return each file's path with its digest: what a statement about this version is about."""
        return [(str(file["path"]), Digest.parse(str(file["digest"]))) for file in self.files]

    @property
    def bases(self) -> list[str]:
        """Return the digests of the versions that this one stands on (its base model)."""
        return list(self.manifest["bases"])


class Alias(Base, Governed):
    """A movable pointer from a name of a model to one of its version numbers."""

    __tablename__ = "aliases"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    set_by: Mapped[str]
    set_at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"alias:{self.namespace}/{self.model}@{self.alias}"


class Statement(Base, Governed):
    """A signed in-toto statement about a resource: the Sigstore bundle that was verified on arrival.  Never changes."""

    __tablename__ = "statements"
    __table_args__ = (Index("ix_statements_subjects", "subjects", postgresql_using="gin"),)

    id: Mapped[Identifier]
    about: Mapped[str] = mapped_column(index=True)
    predicate_type: Mapped[str]
    subjects: Mapped[list[str]] = mapped_column(ARRAY(Text))
    identity: Mapped[str]
    issuer: Mapped[str]
    signed_at: Mapped[Moment]
    digest: Mapped[str]
    bundle: Mapped[str]

    @property
    def degraded(self) -> str:
        """What is weaker about its signature, in words; empty when nothing is."""
        return KEY_ONLY if self.identity.startswith("key:") else ""

    @property
    def ref(self) -> str:
        """Return the ledger reference: a statement is spoken of together with what it is about."""
        return self.about


class Edge(Base, Governed):
    """One line of lineage: `child` was made from `parent`.  Never changes."""

    __tablename__ = "lineage"

    child: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)

    @property
    def ref(self) -> str:
        """Return the child's reference: its event covers the edge."""
        return self.child


Index("ix_lineage_parent", Edge.parent)
