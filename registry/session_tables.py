# SPDX-License-Identifier: Apache-2.0
"""Sessions of the console: what a browser's cookie names, and what a sign-in brought."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Index
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Identifier, Moment


class SignInSession(Base):
    """One browser that somebody signed in with.  Operational; that it began and ended stands in the ledger.

    `provider_session` is the identity provider's name of its own session (``sid``), `ended_at` when it was ended before
    its time.  Roles are those of a local link; what groups bring is looked up at each request.
    """

    __tablename__ = "sign_in_sessions"
    __table_args__ = (
        Index("ix_sign_in_sessions_live", "person", postgresql_where="ended_at IS NULL"),
        Index("ix_sign_in_sessions_provider", "provider_session", postgresql_where="ended_at IS NULL"),
    )

    id: Mapped[Identifier]
    person: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    groups: Mapped[list[str]] = mapped_column(ARRAY(Text))
    strength: Mapped[int | None]
    provider_session: Mapped[str]
    opened_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
