# SPDX-License-Identifier: Apache-2.0
"""One bundle for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.governance.reports.exported import Exported, take_home
from tests.support.world import DEMO, Step, Worlds


@pytest.fixture(scope="session")
def exported(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Yield the bundle of a told story; its world stays open."""
    with worlds.at(Step.EVALUATED, DEMO) as world:
        yield take_home(world, Path(tmp_path_factory.mktemp("auditor")))
