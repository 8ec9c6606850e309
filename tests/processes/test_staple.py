# SPDX-License-Identifier: Apache-2.0
"""A registry that goes away: what was verified answers for as long as was agreed, also over a reboot, and no longer."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.zone.staples import FILE
from tests.processes.serving import ASK, INFER, Process, Registry, serving, until
from tests.support.world import World, Worlds

AGREED_S = 20.0
OVERLAY = f"""
events:
  unreachable:
    default: {{do: serve-until, hours: {AGREED_S / 3600:.6f}, otherwise: stop, alert: true}}
"""
Running = tuple[World, Process, Registry]


@pytest.fixture
def running(worlds: Worlds, tmp_path: Path) -> Iterator[Running]:
    overlay = tmp_path / "short"
    overlay.mkdir()
    (overlay / "runtime.yaml").write_text(OVERLAY)
    with serving(worlds, tmp_path, overlay) as found:
        kept = tmp_path / "agent" / FILE
        until(lambda: kept.exists() and found[0].memory.deployment in _said(kept), "no status is kept")
        yield found


def _said(kept: Path) -> str:
    return base64.b64decode(json.loads(kept.read_text())["dsseEnvelope"]["payload"]).decode()


def test_an_endpoint_outlives_its_registry_and_a_reboot_until_its_staple_ends(running: Running) -> None:
    world, agent, registry = running
    began = time.monotonic()
    registry.stop()
    agent.kill()
    agent.start()
    assert agent.answers(INFER, ASK) == 200
    silent = began + until(lambda: agent.answers(INFER, ASK) == 423, "it answers for ever", 60)
    assert time.monotonic() - began <= AGREED_S + 5, silent
    agent.kill()
    agent.start()
    assert agent.answers(INFER, ASK) == 423  # a reboot gives no new time
    world.told()
    registry.start()
    until(lambda: agent.answers(INFER, ASK) == 200, "it does not come back by itself", 30)
    told: list[dict[str, str]] = []

    def is_told() -> bool:
        told.extend(_paused(world))
        return bool(told)

    until(is_told, "the ledger is not told", 30)
    assert "the registry does not answer" in told[0]["because"]


def _paused(world: World) -> list[dict[str, str]]:
    return [event["payload"] for event in world.told() if event["kind"] == "endpoint.paused"]
