# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL and a registry in this process, for every test of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings

from tests.support import postgres as cluster
from tests.support.postgres import Postgres
from tests.support.world import DEMO, Step, World, Worlds

# The same examples every time: a test that fails for one person fails for everybody.
settings.register_profile(
    "khatim", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("khatim")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a running PostgreSQL whose database has the newest schema."""
    with cluster.running() as running:
        yield running


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """Yield the event loop in which the applications of this process run."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture(scope="session")
def worlds(postgres: Postgres, portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Return what opens worlds at any step of the story."""
    return Worlds(postgres, portal, Path(tmp_path_factory.mktemp("installation")))


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which nothing has happened yet."""
    with worlds.at(Step.EMPTY) as opened:
        yield opened


@pytest.fixture
def enrolled(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which an agent works in the zone."""
    with worlds.at(Step.ENROLLED) as opened:
        yield opened


@pytest.fixture
def data(worlds: Worlds) -> Iterator[World]:
    """Yield a world with a dataset version and a feature view version."""
    with worlds.at(Step.DATA) as opened:
        yield opened


@pytest.fixture
def authorised(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which training is authorised."""
    with worlds.at(Step.AUTHORISED) as opened:
        yield opened


@pytest.fixture
def ready(worlds: Worlds) -> Iterator[World]:
    """Yield a world with a trained and scanned version."""
    with worlds.at(Step.READY) as opened:
        yield opened


@pytest.fixture
def evaluated(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which the version is evaluated, too."""
    with worlds.at(Step.EVALUATED) as opened:
        yield opened


@pytest.fixture
def approved(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which the version has all approvals."""
    with worlds.at(Step.APPROVED) as opened:
        yield opened


@pytest.fixture
def production(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which the version stands in production."""
    with worlds.at(Step.PRODUCTION) as opened:
        yield opened


@pytest.fixture
def serving(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which the version serves, under the shipped policies."""
    with worlds.at(Step.SERVING) as opened:
        yield opened


@pytest.fixture
def demo(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which the version serves, under the demo's policies."""
    with worlds.at(Step.SERVING, DEMO) as opened:
        yield opened
