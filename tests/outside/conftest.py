# SPDX-License-Identifier: Apache-2.0
"""An authority with a signed report and model, and the bundle of a told story, for outside programs to judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from registry.signing.identity import IdentityPolicy
from tests.governance.reports.exported import Exported, take_home
from tests.outside.office import INSTANCE, ISSUER, Clock, Office, founded, now
from tests.outside.tools import compiled
from tests.support.world import DEMO, Step, Worlds


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Yield an authority with its trust files; tests add what they sign."""
    with founded(Path(tmp_path_factory.mktemp("office"))) as office:
        yield office


@pytest.fixture(scope="session")
def policy() -> IdentityPolicy:
    return IdentityPolicy.of_instance(INSTANCE, ISSUER)


@pytest.fixture(scope="session")
def exported(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Yield the bundle of a told story, with every kind of statement in it; its world stays open."""
    with worlds.at(Step.EVALUATED, DEMO) as world:
        yield take_home(world, Path(tmp_path_factory.mktemp("auditor")))


@pytest.fixture(scope="session")
def unpacked(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an engagement that an auditor unpacked."""
    folder = Path(tmp_path_factory.mktemp("engagement"))
    with ZipFile(exported.path) as opened:
        opened.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def verify_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Go program of the guide, compiled."""
    return compiled(Path(tmp_path_factory.mktemp("go")) / "verify-ledger")


@pytest.fixture
def clock() -> Clock:
    return now
