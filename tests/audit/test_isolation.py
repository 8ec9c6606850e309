# SPDX-License-Identifier: Apache-2.0
"""The second lock by itself: what a connection of the service sees and writes, by what its transaction said."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from audit import isolation
from audit.base import Base
from tests.support.world import Step, World, Worlds

# They belong to the whole installation, whatever namespace they speak of (ADR 0036).
WHOLE = {"access_reviews", "ledger_entries", "legal_holds", "role_assignments"}


@pytest.fixture(scope="module")
def trained(worlds: Worlds) -> Iterator[World]:
    """Yield a world with a trained version of oncology."""
    with worlds.at(Step.EVALUATED) as world:
        yield world


def count(world: World, patterns: set[str] | None, table: str = "model_versions") -> int:
    """Return how many rows of *table* a reading transaction sees that said *patterns*, or nothing at all."""
    with psycopg.connect(world.url("khatim_service"), autocommit=True) as connection:
        if patterns is None:
            connection.execute("BEGIN")
        else:
            connection.execute(isolation.opening(isolation.READ, isolation.within(patterns)).replace("%%", "%"))
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])


def test_every_table_with_a_namespace_is_bounded_or_belongs_to_all(trained: World) -> None:
    bounded = {row[0] for row in trained.sql("SELECT relname FROM pg_class WHERE relrowsecurity")}
    named = {table.name for table in Base.metadata.tables.values() if "namespace" in table.columns}

    assert named - bounded == WHOLE
    assert bounded - named == {"approvals", "evidence", "monitor_runs"}


@pytest.mark.parametrize(
    ("patterns", "seen"),
    [
        ({"*"}, 1),
        ({"oncology"}, 1),
        ({"onco*", "lab"}, 1),
        ({"oncolog"}, 0),
        ({"lab*"}, 0),
        ({"oncolog_"}, 0),
        ({"%"}, 0),
        (set(), 0),
        (None, 0),
    ],
)
def test_a_transaction_sees_the_namespaces_that_it_said(trained: World, patterns: set[str] | None, seen: int) -> None:
    assert count(trained, patterns) == seen
    assert bool(count(trained, patterns, "evidence") + count(trained, patterns, "jobs")) is bool(seen)


def test_a_transaction_writes_only_where_it_reaches(trained: World) -> None:
    with psycopg.connect(trained.url("khatim_service"), autocommit=True) as connection:
        connection.execute(isolation.opening(isolation.WRITE, "lab"))
        connection.execute("SET LOCAL khatim.sight = '*'")
        changed = connection.execute("UPDATE models SET description = 'theirs'")
        assert changed.rowcount == 0
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            connection.execute(
                "INSERT INTO models SELECT gen_random_uuid(), namespace, 'y', '', 1, '', now() FROM models"
            )


def test_what_was_said_ends_with_the_transaction(trained: World) -> None:
    with psycopg.connect(trained.url("khatim_service"), autocommit=True) as connection:
        connection.execute(isolation.opening(isolation.WRITE, isolation.ALL))
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (1,)
        connection.execute("COMMIT")

        assert connection.execute("SELECT count(*) FROM models").fetchone() == (0,)


@pytest.mark.parametrize(
    ("patterns", "written"),
    [({"*", "a"}, "*"), ({"a*", "b"}, "a% b"), ({"a_b*"}, r"a\_b%"), ({"a%"}, r"a\%"), (set(), "")],
)
def test_patterns_are_written_for_like(patterns: set[str], written: str) -> None:
    assert isolation.within(patterns) == written
