# SPDX-License-Identifier: Apache-2.0
"""A policy change on a real server with two workers: all of them follow, a restart keeps it, a forged one stops it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.embedded import EmbeddedDatabase
from tests.processes.installation import Installation, khatim

ASKED = "/v1/access/explanation?action=version.approve&resource=version:oncology/x@1&zone=ae-health"
FILES = {"roles.csv": "p, data-scientist, *, *, version.approve, allow\n"}
WHY = {"because": "the committee decided so"}
TIMES = 16  # so many answers in a row come from both workers


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv("KHATIM_WORKERS", "2")
    made = Installation(tmp_path)
    made.up()
    yield made
    made.down()


def is_allowed(house: Installation) -> bool:
    return all(house.call("scientist", "GET", ASKED)["allowed"] for _ in range(TIMES))


def test_every_worker_follows_and_none_starts_with_rules_that_nobody_signed(house: Installation) -> None:
    assert not house.call("scientist", "GET", ASKED)["allowed"]
    change = house.call("platform", "POST", "/v1/policy/changes", {"files": FILES, **WHY})["id"]
    house.call("risk", "POST", f"/v1/policy/changes/{change}/approval", WHY)
    house.await_that(lambda: is_allowed(house), "not every worker follows", timeout_s=20)

    house.down()
    house.up()
    assert is_allowed(house)
    url = EmbeddedDatabase(house.data / "postgres").url("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('UPDATE policy_changes SET files = \'{"roles.csv": "p, auditor, *, *, read, deny\\n"}\'')
    house.down()

    done = khatim("up", "--data", str(house.data), "--port", "0", "--detach")
    assert done.returncode != 0
    assert "something else than its approver signed" in done.stdout + done.stderr + "".join(
        path.read_text(errors="replace") for path in house.data.rglob("*.log")
    )
