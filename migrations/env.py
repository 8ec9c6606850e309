# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment: one migration at a time, under a lock, with short timeouts, as the owner of the tables."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine, text

import audit.answers
import audit.archive_tables
import audit.endorsements_tables
import audit.ledger_tables
import audit.streams.tables
import governance.access_tables
import governance.history_tables
import governance.hold_tables
import governance.incident_tables
import governance.policy_tables
import governance.tables
import governance.waiver_tables
import registry.account_tables
import registry.authority_tables
import registry.erasure_tables
import registry.revocation_tables
import registry.service_account_tables
import registry.session_tables
import registry.tables
import registry.transfer_tables
import runners.tables  # the import fills the metadata
from audit.base import Base

LOCK = 0x6B686174696D  # "khatim"


def run(connection: Connection) -> None:
    """Migrate on *connection*."""
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
    connection.commit()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = os.environ["KHATIM_DATABASE__OWNER_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
    with create_engine(url).connect() as connection:
        run(connection)
