# SPDX-License-Identifier: Apache-2.0
"""Which changes of the signing authority the ledger has been told."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Moment


class AuthorityTold(Base):
    """One change in the authority's own history that stands in the ledger, by the digest of what it says.

    The row comes with the entry in one transaction, so that a change is told once, whoever tells it.  Operational:
    what counts is the entry.
    """

    __tablename__ = "authority_told"

    digest: Mapped[str] = mapped_column(primary_key=True)
    told_at: Mapped[Moment]
