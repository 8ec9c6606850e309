# SPDX-License-Identifier: Apache-2.0
"""An installation for one test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.installation import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    running = Installation(tmp_path_factory.mktemp("installation"))
    running.up()
    yield running
    running.down()
