# SPDX-License-Identifier: Apache-2.0
"""service accounts and their tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from audit import ddl

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

ACCOUNTS, TOKENS = "service_accounts", "service_tokens"
PIPELINE = "(issuer = '') = (audience = '') AND (issuer = '') = (claims = '{}')"


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def upgrade() -> None:
    """Apply."""
    op.create_table(
        ACCOUNTS,
        sa.Column("id", sa.Uuid(), nullable=False),
        *_texts("name", "sponsor", "purpose", "issuer", "audience", "state", "created_by", "closed_because"),
        sa.Column("claims", JSONB(), nullable=False),
        *_moments("created_at"),
        *_texts("closed_by", nullable=True),
        *_moments("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{ACCOUNTS}")),
        sa.UniqueConstraint("name", name=op.f(f"uq_{ACCOUNTS}_name")),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f(f"ck_{ACCOUNTS}_state")),
        sa.CheckConstraint(PIPELINE, name=op.f(f"ck_{ACCOUNTS}_pipeline")),
    )
    op.create_index(op.f(f"ix_{ACCOUNTS}_sponsor"), ACCOUNTS, ["sponsor"])
    op.create_index(
        "ix_service_accounts_issuer", ACCOUNTS, ["issuer"],
        postgresql_where=sa.text("state = 'open' AND issuer <> ''"),
    )  # fmt: skip
    op.create_table(
        TOKENS,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *_texts("account", "created_by"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        *(sa.Column(name, ARRAY(sa.Text()), nullable=False) for name in ("roles", "namespaces")),
        *_moments("created_at", "expires_at"),
        *_texts("revoked_by", nullable=True),
        *_moments("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TOKENS}")),
        sa.ForeignKeyConstraint(["account_id"], [f"{ACCOUNTS}.id"], name=op.f(f"fk_{TOKENS}_account_id_{ACCOUNTS}")),
        sa.CheckConstraint("expires_at > created_at", name=op.f(f"ck_{TOKENS}_expires")),
    )
    op.create_index(op.f(f"ix_{TOKENS}_account_id"), TOKENS, ["account_id"])
    for statement in ddl.service_grants([ACCOUNTS, TOKENS]):
        op.execute(statement)
    op.execute(f"REVOKE DELETE ON {ACCOUNTS}, {TOKENS} FROM {ddl.SERVICE}")


def downgrade() -> None:
    """Undo."""
    op.drop_table(TOKENS)
    op.drop_table(ACCOUNTS)
