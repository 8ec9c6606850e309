# SPDX-License-Identifier: Apache-2.0
"""People as encrypted records whose keys are elsewhere, and their erasures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply.

    The names that stood here are dropped: the migration has no key to encrypt them with, and everybody tells theirs
    at the next sign-in.  Their bytes go when the table is rewritten below.
    """
    op.drop_column("people", "display_name")
    op.add_column("people", sa.Column("record", sa.LargeBinary(), nullable=True))
    # A dropped column stays in the rows until they are written anew; changing a type to itself in another form does so.
    op.execute("ALTER TABLE people ALTER COLUMN first_seen TYPE timestamptz USING first_seen + interval '0'")
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_erasures_two_people")),
        sa.CheckConstraint(
            "(state = 'done') = (approved_by IS NOT NULL AND approved_at IS NOT NULL)", name=op.f("ck_erasures_done")
        ),
        sa.CheckConstraint("state IN ('requested', 'done')", name=op.f("ck_erasures_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_person", "erasures", ["person"])
    op.create_index(
        "uq_erasures_open", "erasures", ["person"], unique=True, postgresql_where=sa.text("state = 'requested'")
    )
    for statement in ddl.service_grants(["erasures"]):
        op.execute(statement)
    op.execute(f"REVOKE DELETE ON erasures FROM {ddl.SERVICE}")


def downgrade() -> None:
    """Undo; names are not known afterwards."""
    op.drop_table("erasures")
    op.drop_column("people", "record")
    op.add_column("people", sa.Column("display_name", sa.Text(), server_default="", nullable=False))
    op.alter_column("people", "display_name", server_default=None)
