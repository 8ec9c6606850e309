# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for the ledger's tests: one cluster for the session, one database per test (ledgers only grow)."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from audit import (
    archive_ddl,
    archive_tables,
    ddl,
    endorsements_ddl,
    endorsements_tables,
    epoch_ddl,
    epoch_tables,
    ledger_tables,
)
from audit.base import Base
from gateway.embedded import EmbeddedDatabase
from tests.audit.ledgers import LedgerDatabase

TEMPLATE = "ledger_template"
LEDGER = (
    ledger_tables.outbox,
    *ledger_tables.SEALED,
    *epoch_tables.SEALED,
    epoch_tables.halts,
    endorsements_tables.endorsements,
    archive_tables.archives,
)
_numbers = itertools.count()


def make_ledger_tables(url: str) -> None:
    """Create the ledger's tables and everything around them, as the first migration does."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text(ddl.event_holds()))
        Base.metadata.create_all(connection, tables=[*LEDGER])
        for statement in (*ddl.upgrade(), *epoch_ddl.upgrade(), *endorsements_ddl.upgrade(), *archive_ddl.upgrade()):
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedDatabase]:
    """Yield a running cluster in which `TEMPLATE` has the ledger's tables."""
    folder = Path(tempfile.mkdtemp(prefix="khatim-ledger-"))
    server = EmbeddedDatabase(folder)
    try:
        server.start()
        with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {TEMPLATE} OWNER khatim_owner")
            conn.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the session; test_crash has its own
            conn.execute("SELECT pg_reload_conf()")
        make_ledger_tables(server.url("khatim_owner", TEMPLATE))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ledger(cluster: EmbeddedDatabase) -> Iterator[LedgerDatabase]:
    """Yield a database of its own, with an empty ledger."""
    name = f"ledger_{next(_numbers)}"
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER khatim_owner")
        yield LedgerDatabase(lambda role: cluster.url(role, name))
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
