# SPDX-License-Identifier: Apache-2.0
"""``khatim doctor`` beside a real installation: well when it is, and telling what to do when it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from gateway.embedded import EmbeddedDatabase
from tests.processes.installation import Installation, khatim


def examined(data: Path, status: int, **environment: str) -> dict[str, list[dict[str, Any]]]:
    """Return what the doctor says, by name; *status* is how it ends."""
    done = khatim("doctor", "--data", str(data), "--json", **environment)
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout):
        found.setdefault(one["name"], []).append(one)
    return found


def healths(found: dict[str, list[dict[str, Any]]]) -> dict[str, set[str]]:
    return {name: {one["health"] for one in ones} for name, ones in found.items()}


def test_an_installation_that_runs_is_well_and_local_mode_is_named(installation: Installation) -> None:
    found = examined(installation.data, 0)
    told = healths(found)

    for name in ("server", "folders", "disk", "database", "pooling", "ledger", "schema", "tls"):
        assert told[name] == {"well"}, found[name]
    for name in ("witnesses", "copies", "sign-in"):
        assert told[name] == {"attention"}, found[name]
        assert all(one["advice"] for one in found[name])
    assert "database" in found["clock"][1]["says"]


def test_what_is_wrong_is_ill_with_advice_and_all_else_is_looked_at(installation: Installation) -> None:
    keys = installation.data / "keys"
    url = EmbeddedDatabase(installation.data / "postgres").url("khatim_owner")
    with psycopg.connect(url, autocommit=True) as connection:
        [[head]] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        keys.chmod(0o755)
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        try:
            found = examined(
                installation.data, 1, KHATIM_DISK__ALARM="0.0001", KHATIM_DISK__REFUSE="0.0002",
                KHATIM_CLOCK__TOLERANCE_S="0.0000001",
            )  # fmt: skip
        finally:
            keys.chmod(0o700)
            connection.execute("UPDATE alembic_version SET version_num = %s", [head])
    told = healths(found)

    for name in ("folders", "disk", "schema"):
        assert told[name] == {"ill"}, found[name]
        assert found[name][0]["advice"]
    assert "ill" in told["clock"]
    assert f"wants {head}" in found["schema"][0]["says"]
    assert told["database"] == told["server"] == {"well"}


def test_a_folder_where_nothing_runs_says_how_to_start_it(tmp_path: Path) -> None:
    (tmp_path / "data" / "keys").mkdir(parents=True, mode=0o700)
    found = examined(tmp_path / "data", 0)

    assert found["server"][0]["advice"].startswith("khatim up")
    assert "stands still" in found["database"][0]["says"]
