# SPDX-License-Identifier: Apache-2.0
"""A throw-away database for what needs an empty one: checking the schema, drafting a migration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway import schema
from gateway.embedded import EmbeddedDatabase


@contextmanager
def database() -> Iterator[EmbeddedDatabase]:
    """Start an embedded PostgreSQL in a temporary folder; it and its data are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="khatim-") as folder:
        embedded = EmbeddedDatabase(Path(folder) / "postgres")
        embedded.start()
        try:
            yield embedded
        finally:
            embedded.stop()


def check_schema() -> None:
    """Migrate an empty database; raises `Misconfigured` when tables and migrations differ."""
    with database() as embedded:
        schema.migrate(embedded.url("khatim_owner"))
        schema.check(embedded.url("khatim_owner"))


def draft_migration(message: str) -> None:
    """Write the draft of a migration from the newest schema to the present tables."""
    with database() as embedded:
        schema.migrate(embedded.url("khatim_owner"))
        schema.draft(embedded.url("khatim_owner"), message)
