# SPDX-License-Identifier: Apache-2.0
"""A server's parts on a throw-away PostgreSQL with the migrated schema, one database for each story."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from audit.sequencer import Sequencer
from gateway import composition, schema
from gateway.embedded import EmbeddedDatabase
from gateway.scratch import database
from khatim.settings import Settings
from tests.gateway.console.story import Story

TEMPLATE = "khatim"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedDatabase]:
    """Yield a running cluster whose database `TEMPLATE` has the newest schema."""
    with database() as embedded:
        schema.migrate(embedded.url("khatim_owner"))
        yield embedded


@pytest.fixture
def story(cluster: EmbeddedDatabase, tmp_path: Path) -> Iterator[Story]:
    """Yield a story that has not begun."""
    name = f"console_{next(_numbers)}"
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER khatim_owner")
        url = cluster.url("khatim_service", name).replace("postgresql://", "postgresql+psycopg://", 1)
        engine = create_engine(url)
        settings = Settings(data=tmp_path / "data", instance="demo", zone="ae-onshore")
        yield Story(composition.build(settings, engine=engine))
        engine.dispose()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def told(story: Story, cluster: EmbeddedDatabase) -> Story:
    """Return a story up to the point where approvals are asked for, with its entries in the ledger."""
    story.register()
    story.scan_and_evaluate()
    sequence(story, cluster)
    return story


def sequence(story: Story, cluster: EmbeddedDatabase) -> None:
    """Let the sequencer give every waiting event its place."""
    signer = composition.ledger_signer(story.wiring.settings, story.wiring.instance)
    name = story.wiring.engine.url.database or ""
    sequencer = Sequencer(cluster.url("khatim_sequencer", name), signer.name, signer)
    try:
        while sequencer.run_once():
            pass
    finally:
        sequencer.close()
