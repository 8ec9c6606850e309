# SPDX-License-Identifier: Apache-2.0
"""One real PostgreSQL for a whole test process; every test gets a copy of a database of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine

from gateway import schema
from gateway.embedded import EmbeddedDatabase

MIGRATED = "khatim"
_ROOM = 2 << 30  # bytes


class Postgres:
    """A running cluster whose database `MIGRATED` has the newest schema, and copies of databases."""

    def __init__(self, embedded: EmbeddedDatabase) -> None:
        """Take a running cluster."""
        self.embedded = embedded
        self._numbers = itertools.count()
        self._admin: psycopg.Connection[Any] = psycopg.connect(embedded.url("postgres", "postgres"), autocommit=True)

    def copy(self, template: str = MIGRATED) -> str:
        """Return the name of a new database that is a copy of *template*, to which nobody may be connected."""
        name = f"world_{next(self._numbers)}"
        self._admin.execute(
            f"CREATE DATABASE {name} TEMPLATE {template} OWNER khatim_owner STRATEGY file_copy".encode()
        )
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def hang_up(self, name: str) -> None:
        """End every connection to a database, as a crash of the server does."""
        self._admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    def close_down(self, name: str) -> None:
        """Let nobody reach a database any more."""
        self._admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        self.hang_up(name)

    def engine(self, name: str) -> Engine:
        """Return an engine of the service's role."""
        url = self.embedded.url("khatim_service", name).replace("postgresql://", "postgresql+psycopg://", 1)
        return create_engine(url, pool_size=4, max_overflow=12, pool_pre_ping=True)

    def close(self) -> None:
        """Hang up."""
        self._admin.close()


def _fast() -> str | None:
    """Return a folder in memory if there is one with room: copying databases is twenty times faster there."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it, with a random name
    is_there = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return str(memory) if is_there else None


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a cluster with the migrated schema; nothing of it outlives the block."""
    folder = Path(tempfile.mkdtemp(prefix="khatim-test-", dir=_fast()))
    embedded = EmbeddedDatabase(folder / "postgres")
    try:
        embedded.start()
        with psycopg.connect(embedded.url("postgres", "postgres"), autocommit=True) as admin:
            for setting in (
                "fsync = off",
                "full_page_writes = off",
                "autovacuum = off",
            ):  # nothing outlives the session
                admin.execute(f"ALTER SYSTEM SET {setting}".encode())
            admin.execute("SELECT pg_reload_conf()")
        schema.migrate(embedded.url("khatim_owner"))
        postgres = Postgres(embedded)
        try:
            yield postgres
        finally:
            postgres.close()
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)
