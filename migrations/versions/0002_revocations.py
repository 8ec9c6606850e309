# SPDX-License-Identifier: Apache-2.0
"""Revocations as rows of their own, and statements that the service may only add and read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit.ddl import SERVICE

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# No verb ever wrote the column; a row that has it was changed by hand, and nothing says by whom or since when.
_BY_HAND = """DO $$ BEGIN IF EXISTS (SELECT FROM statements WHERE revoked_because IS NOT NULL) THEN
    RAISE EXCEPTION 'a statement was marked as revoked by hand'
        USING HINT = 'Clear statements.revoked_because, migrate, and record it: khatim revoke statement.';
END IF; END $$"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "revocations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("lifts", sa.BigInteger(), nullable=True),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('statement', 'key', 'identity', 'artifact')", name=op.f("ck_revocations_kind")),
        sa.CheckConstraint("number > 0 AND (lifts IS NULL OR lifts < number)", name=op.f("ck_revocations_number")),
        sa.CheckConstraint("since <= recorded_at", name=op.f("ck_revocations_since")),
        sa.ForeignKeyConstraint(["lifts"], ["revocations.number"], name=op.f("fk_revocations_lifts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocations")),
        sa.UniqueConstraint("lifts", name=op.f("uq_revocations_lifts")),
        sa.UniqueConstraint("number", name=op.f("uq_revocations_number")),
    )
    op.execute(_BY_HAND)
    op.drop_column("statements", "revoked_because")
    for table in ("statements", "revocations"):
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC, {SERVICE}")
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {SERVICE}")
    # The function was made with the ledger (audit.ddl); a revocation is corrected by a further row as well.
    op.execute(
        "CREATE TRIGGER khatim_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON revocations "
        "FOR EACH STATEMENT EXECUTE FUNCTION khatim_append_only()"
    )
    op.execute("ALTER TABLE revocations ENABLE ALWAYS TRIGGER khatim_append_only")


def downgrade() -> None:
    """Undo."""
    op.add_column("statements", sa.Column("revoked_because", sa.Text(), nullable=True))
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON statements TO {SERVICE}")
    op.drop_table("revocations")
