# SPDX-License-Identifier: Apache-2.0
"""Programs that act under a name of their own, and the tokens that they show."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

OPEN: Final = "open"
CLOSED: Final = "closed"


class ServiceAccount(Base, Governed):
    """A program, and the person who answers for it.  Only `state` and why it was closed change; a name is never reused.

    With an `issuer` (OpenID Connect) its tokens for `audience` whose claims are as `claims` say open it: a pipeline.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'closed')", name="state"),
        CheckConstraint("(issuer = '') = (audience = '') AND (issuer = '') = (claims = '{}')", name="pipeline"),
        Index("ix_service_accounts_issuer", "issuer", postgresql_where="state = 'open' AND issuer <> ''"),
    )

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(unique=True)
    sponsor: Mapped[str] = mapped_column(index=True)
    purpose: Mapped[str]
    issuer: Mapped[str]
    audience: Mapped[str]
    claims: Mapped[dict[str, str]] = mapped_column(JSONB)
    state: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[Moment]
    closed_by: Mapped[str | None] = mapped_column(default=None)
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    closed_because: Mapped[str] = mapped_column(default="")

    @property
    def ref(self) -> str:
        """Return the ledger reference, which is also who acts."""
        return f"service-account:{self.name}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("service-account", self.name)


class ServiceToken(Base, Governed):
    """A token of a service account: its hash, for how long, and to how much of what the account holds it reaches.

    Empty `roles` or `namespaces` leave it all.  Only the revocation changes.
    """

    __tablename__ = "service_tokens"
    __table_args__ = (CheckConstraint("expires_at > created_at", name="expires"),)

    id: Mapped[Identifier]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("service_accounts.id"), index=True)
    account: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    namespaces: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[str]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    revoked_by: Mapped[str | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"service-token:{self.id}"
