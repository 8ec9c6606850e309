# SPDX-License-Identifier: Apache-2.0
"""What was in which stage and under which alias, when, by whom: rows that are only added, one beside each event."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from audit.base import Base, Identifier, Moment

REVOKED = "revoked"


class StageChange(Base):
    """A version came into a stage, or was revoked, which ends the stage that it stood in.  Never changes."""

    __tablename__ = "stage_changes"
    __table_args__ = (Index("ix_stage_changes_model", "namespace", "model", "version_ref", "at"),)

    id: Mapped[Identifier]
    namespace: Mapped[str]
    model: Mapped[str]
    version_ref: Mapped[str]
    digest: Mapped[str]
    zone: Mapped[str]
    stage: Mapped[str]
    because: Mapped[str]
    policy: Mapped[str]
    changed_by: Mapped[str]
    at: Mapped[Moment]


class AliasMove(Base):
    """An alias came to point at a version.  Never changes; the newest of an alias is where it points."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_alias", "namespace", "model", "alias", "id"),)

    id: Mapped[Identifier]
    namespace: Mapped[str]
    model: Mapped[str]
    alias: Mapped[str]
    number: Mapped[int]
    because: Mapped[str]
    moved_by: Mapped[str]
    at: Mapped[Moment]
