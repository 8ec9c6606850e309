# SPDX-License-Identifier: Apache-2.0
"""The SDK in worlds at several steps, and a registry that really listens, for the command line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from anyio.from_thread import BlockingPortal

from gateway import app
from tests.khatim.sdk import Sdk
from tests.support.world import Step, World, Worlds


@contextmanager
def _sdk(worlds: Worlds, step: Step, portal: BlockingPortal, folder: Path) -> Iterator[Sdk]:
    with worlds.at(step) as world:
        opened = Sdk(world, portal, folder)
        yield opened
        opened.close()


@pytest.fixture
def sdk(worlds: Worlds, portal: BlockingPortal, tmp_path: Path) -> Iterator[Sdk]:
    """Yield the SDK in a world where an agent works in the zone."""
    with _sdk(worlds, Step.ENROLLED, portal, tmp_path) as opened:
        yield opened


@pytest.fixture
def evaluated_sdk(worlds: Worlds, portal: BlockingPortal, tmp_path: Path) -> Iterator[Sdk]:
    """Yield the SDK in a world where a version is evaluated and nobody has approved it."""
    with _sdk(worlds, Step.EVALUATED, portal, tmp_path) as opened:
        yield opened


@pytest.fixture
def serving_sdk(worlds: Worlds, portal: BlockingPortal, tmp_path: Path) -> Iterator[Sdk]:
    """Yield the SDK in a world where a version serves."""
    with _sdk(worlds, Step.SERVING, portal, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def listening(worlds: Worlds) -> Iterator[tuple[World, str]]:
    """Yield a world in which a version serves, and the address at which its registry listens."""
    with worlds.at(Step.SERVING) as world:
        world.sequence()
        config = uvicorn.Config(app.create(world.parts), port=0, log_level="error", lifespan="off")
        socket = config.bind_socket()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield world, f"http://127.0.0.1:{socket.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
