# SPDX-License-Identifier: Apache-2.0
"""Kill -9 under load, an older backup, a lagging standby: acknowledged is chained, and no second history is signed.

``make chaos`` runs it with fifty kills of each (KHATIM_CHAOS_KILLS) and prints what was found; the test run does a few.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from audit.checkpoint import NoteVerifier
from audit.heads import HeadFile
from audit.verify_database import verify_database
from audit.walk import LedgerReport
from gateway.embedded import EmbeddedDatabase
from gateway.instance import Instance
from tests.processes.chaos import Writers, judged, kill_database, kill_sequencer, kill_server, url_of
from tests.processes.installation import Installation, khatim

KILLS = int(os.environ.get("KHATIM_CHAOS_KILLS", "2"))
REPORT = os.environ.get("KHATIM_CHAOS_REPORT", "")
pytestmark = pytest.mark.timeout(300 + 30 * KILLS)


@pytest.mark.parametrize(
    ("what", "kill"),
    [("sequencer", kill_sequencer), ("database", kill_database), ("server", kill_server)],
    ids=["sequencer", "database", "server"],
)
def test_acknowledged_is_chained_whatever_is_killed(
    installation: Installation, what: str, kill: Callable[[Installation], None]
) -> None:
    began = time.monotonic()
    with Writers(installation, f"chaos-{what}") as writers:
        for _ in range(KILLS):
            writers.await_more(5)
            kill(installation)
        writers.await_more(5)
    found = judged(installation, writers, KILLS)
    _report(
        {
            "killed": what,
            "kills": KILLS,
            "acknowledged": found.acknowledged,
            "chained": found.chained,
            "lost": len(found.lost),
            "twice": len(found.twice),
            "unaudited": len(found.unaudited),
            "phantoms": len(found.phantoms),
            "seconds": round(time.monotonic() - began),
        }
    )
    found.assert_clean()


def _report(found: dict[str, object]) -> None:
    if REPORT:
        with Path(REPORT).open("a") as file:
            file.write(json.dumps(found) + "\n")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Installation]:
    """Yield an installation for one test, which may break it."""
    made = Installation(tmp_path)
    made.up()
    yield made
    made.down()


def test_an_older_backup_is_read_only_until_two_people_recover(alone: Installation) -> None:
    _write(alone, range(5))
    alone.down()
    cluster = alone.data / "postgres"
    _copy(cluster, alone.folder / "backup")
    alone.up()
    _write(alone, range(5, 10))
    alone.down()
    shutil.rmtree(cluster)
    _copy(alone.folder / "backup", cluster)
    alone.up()

    _assert_read_only(alone)
    _recover(alone, "the volume was restored from the backup of Sunday")

    _write(alone, range(10, 12))
    report = _verified(alone)
    assert [epoch.number for epoch in report.epochs] == [1, 2]
    assert report.epochs[1].loss is not None
    assert report.epochs[1].loss.reason == "the volume was restored from the backup of Sunday"
    assert (report.kinds["ledger.recovery_requested"], report.kinds["ledger.recovery_confirmed"]) == (1, 1)
    names = {model["name"] for model in alone.call("auditor", "GET", "/v1/models")["items"]}
    assert names == {f"m{number}" for number in (*range(5), 10, 11)}
    alone.down()
    alone.up()
    _write(alone, range(12, 13))
    assert _verified(alone).size > report.size, "a new start goes on in the second epoch"


def test_a_lagging_standby_that_was_promoted_is_read_only_too(alone: Installation) -> None:
    primary = EmbeddedDatabase(alone.data / "postgres")
    spare = EmbeddedDatabase(primary.folder / "standby")
    standby = spare.pgdata
    _write(alone, range(3))
    source = primary.url("postgres", "postgres")
    primary._run("pg_basebackup", "-D", str(standby), "-R", "--checkpoint=fast", "-d", source)
    # The lock of the primary's socket comes along where the path is short enough for the socket to lie there.
    (standby / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    lonely = f"-c unix_socket_directories='{spare._socket_folder()}'"
    log = str(primary.folder / "standby.log")
    primary._run("pg_ctl", "-D", str(standby), "-l", log, "-o", lonely, "-w", "start")
    _write(alone, range(3, 6))
    alone.await_that(lambda: _replayed(primary) == (1, True), "the standby does not stream")
    primary._run("pg_ctl", "-D", str(standby), "-w", "stop")  # the network between them is cut
    _write(alone, range(6, 9))
    alone.down()
    primary.pgdata.rename(primary.folder / "lost")
    standby.rename(primary.pgdata)
    primary.start()
    primary._run("pg_ctl", "-D", str(primary.pgdata), "-w", "promote")
    alone.up()

    _assert_read_only(alone)
    _recover(alone, "the site was lost; the standby was promoted")

    _write(alone, range(9, 10))
    assert [epoch.number for epoch in _verified(alone).epochs] == [1, 2]


def _replayed(primary: EmbeddedDatabase) -> tuple[int, bool]:
    query = "SELECT count(*), bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
    with psycopg.connect(primary.url("postgres", "postgres"), autocommit=True) as conn:
        row = conn.execute(query).fetchone()
    return (int(row[0]), bool(row[1])) if row else (0, False)


def _write(installation: Installation, numbers: range) -> None:
    """Create models, and wait until their events are signed and known outside the database."""
    for number in numbers:
        installation.call("scientist", "POST", f"/v1/models/chaos/m{number}", {"tier": 2})
    head = HeadFile(Instance(installation.data).head_file)
    last = "SELECT note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1"
    waiting = "SELECT count(*) FROM ledger_outbox"
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        installation.await_that(
            lambda: conn.execute(waiting).fetchone() == (0,) and conn.execute(last).fetchone() == (head.highest(),),
            "the ledger lags",
        )


def _copy(source: Path, target: Path) -> None:
    """Copy a stopped cluster with its owners."""
    shutil.copytree(source, target)
    for path in (source, *source.rglob("*")):
        shutil.chown(target / path.relative_to(source), path.stat().st_uid, path.stat().st_gid)


def _assert_read_only(installation: Installation) -> None:
    """Check that reads go on, changes are refused with the reason, nothing is signed and nobody runs in circles."""
    installation.await_that(lambda: _health(installation) == "read-only", "it does not become read-only")
    server = installation.pid()
    headers = {"Authorization": f"Bearer {installation.token('scientist')}", "Idempotency-Key": "again"}
    refused = httpx.post(f"{installation.url}/v1/models/chaos/refused", json={"tier": 2}, headers=headers)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (503, "ledger-read-only")
    assert "khatim ledger recover" in refused.json()["advice"]
    assert installation.call("auditor", "GET", "/v1/models")["items"]
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        size = conn.execute("SELECT max(size) FROM ledger_checkpoints").fetchone()
        time.sleep(2)
        assert conn.execute("SELECT max(size) FROM ledger_checkpoints").fetchone() == size
    assert installation.pid() == server
    log = (installation.data / "run" / "server.log").read_text()
    assert 1 <= log.count("is read-only:") <= 3, "the alarm is said, and not four times a second"


def _health(installation: Installation) -> str:
    return str(httpx.get(f"{installation.url}/health", timeout=10).json()["status"])


def _recover(installation: Installation, reason: str) -> None:
    """Look, ask, be refused as the same person, and be confirmed by another."""
    data = ("--data", str(installation.data))
    plan = khatim("ledger", "recover", "plan", *data, "--json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["way"] == "epoch"
    asker, other = installation.token("platform"), installation.token("risk")
    asked = khatim("ledger", "recover", "request", *data, "--because", reason, "--json", KHATIM_TOKEN=asker)
    assert asked.returncode == 0, asked.stderr
    number = json.loads(asked.stdout)["recovery"]
    alone = khatim("ledger", "recover", "confirm", number, *data, KHATIM_TOKEN=asker)
    assert (alone.returncode, "same person" in alone.stderr or "does not confirm" in alone.stderr) == (1, True)
    done = khatim("ledger", "recover", "confirm", number, *data, KHATIM_TOKEN=other)
    assert done.returncode == 0, done.stderr
    installation.await_that(lambda: _health(installation) == "ok", "it does not open again")


def _verified(installation: Installation) -> LedgerReport:
    vkey = Instance(installation.data).ledger_signer("local", 1).vkey
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        return verify_database(conn, NoteVerifier.parse(vkey))
