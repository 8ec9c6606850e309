# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: a small file system with the database on it, filled to its last byte, and freed again.

Governed writes answer 507, reading, revoking, stopping and signing in go on, nothing acknowledged is lost, and
everything goes on by itself once there is room.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from anyio.from_thread import BlockingPortal

from audit.verify_database import verify_database
from gateway import composition, disks, schema
from gateway.embedded import EmbeddedDatabase
from khatim.settings import Settings
from khatim.vocabulary import Role
from tests.support.http import good, problem
from tests.support.people import MONA, PAVEL, PETRA, SAMI, person
from tests.support.postgres import Postgres
from tests.support.world import VERSION, Step, World, Worlds

SIZE_MB, BALLAST_MB = 400, 64
FILLER = "filler"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a real file system of `SIZE_MB` (needs the right to mount)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def cluster(small_disk: Path) -> Iterator[Postgres]:
    """Give a PostgreSQL of its own on the small disk, with a log that is kept short as on any small disk."""
    embedded = EmbeddedDatabase(small_disk / "data" / "postgres")
    embedded.start()
    try:
        with psycopg.connect(embedded.url("postgres", "postgres"), autocommit=True) as admin:
            for setting in ("max_wal_size = '64MB'", "min_wal_size = '32MB'"):
                admin.execute(f"ALTER SYSTEM SET {setting}".encode())
            admin.execute("SELECT pg_reload_conf()")
        schema.migrate(embedded.url("khatim_owner"))
        postgres = Postgres(embedded)
        yield postgres
        postgres.close()
    finally:
        (small_disk / FILLER).unlink(missing_ok=True)
        embedded.stop()


@dataclass
class Writing:
    """Somebody who registers one model after another, whatever is answered."""

    world: World
    answers: list[tuple[str, int]] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[str]:
        """The models that were acknowledged."""
        return [name for name, status in self.answers if status == httpx.codes.CREATED]

    def write(self, name: str) -> httpx.Response:
        """Register one model; remember the answer."""
        answer = self.world.as_(SAMI).post(f"/v1/models/disk/{name}")
        self.answers.append((name, answer.status_code))
        return answer

    @contextmanager
    def without_end(self) -> Iterator[None]:
        """Write in a thread."""
        stop = threading.Event()

        def go_on() -> None:
            number = 0
            while not stop.is_set():
                self.write(f"busy-{number}")
                number += 1

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def fill(disk: Path) -> Path:
    """Fill the disk to its last byte, as a log that nobody rotates does; return the file that did it."""
    path = disk / FILLER
    with path.open("wb", buffering=0) as file:
        piece = bytes(1 << 20)
        while piece:
            try:
                file.write(piece)
            except OSError:
                piece = piece[: len(piece) // 2]
    return path


def until(holds: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def entries_of(world: World, kind: str) -> set[str]:
    """Return what the ledger's entries of a kind are about."""
    return {row[0] for row in world.sql("SELECT resource FROM ledger_entries WHERE kind = %s", kind)}


def verified(world: World) -> Any:
    """Sequence what waits, and verify the whole ledger."""
    world.sequence()
    signer = composition.ledger_signer(world.parts.settings, world.parts.instance)
    with psycopg.connect(world.url(), autocommit=True) as connection:
        return verify_database(connection, signer.verifier)


def test_on_a_full_disk_governed_writes_are_refused_and_nothing_else_stops(
    small_disk: Path, cluster: Postgres, portal: BlockingPortal
) -> None:
    data = small_disk / "data"
    worlds = Worlds(cluster, portal, data)
    disk = {"disk": {"ballast_mb": BALLAST_MB}}
    with worlds.at(Step.EMPTY, **disk) as world, disks.Tending(Settings(data=data, **disk)) as tending:  # type: ignore[arg-type]  # parsed
        for step in Step:
            if step is not Step.EMPTY:
                world.tell(step)
        ballast = disks.ballast_of(world.parts.settings)
        assert ballast is not None
        until(lambda: ballast.held() == disks.STEPS, "the ballast stands")
        writing = Writing(world)
        with world.sequencing(), writing.without_end():
            until(lambda: len(writing.acknowledged) > 20, "writes are acknowledged")

            filler = fill(small_disk)
            until(lambda: any(status == 507 for _, status in writing.answers), "a write is refused")
            until(lambda: ballast.held() < disks.STEPS, "ballast is given up")

            told = problem(writing.write("refused"), 507, "registry-full")
            assert told["action"] == "version.register"
            assert told["used"] >= told["refused_from"] == 0.95
            assert "revoking" in told["advice"]
            good(world.as_(SAMI).get(VERSION))
            good(world.as_(MONA).get("/v1/ledger/entries"))
            stopped = good(world.as_(PAVEL).post(f"/v1/deployments/{world.memory.deployment}/stop", because()))
            assert stopped["state"] == "stopped"
            assert good(world.as_(PETRA).post(f"{VERSION}/revocation", because()))["revoked_because"]
            assert good(world.as_(person("Newcomer", Role.VALIDATOR)).get("/v1/whoami"))["display_name"] == "Newcomer"
            problem(world.as_(SAMI).post(f"{VERSION}/promotions", {"to": "staging", **because()}), 507)
            refused = len(writing.answers)
            time.sleep(1)
            assert {status for _, status in writing.answers[refused:]} == {507}  # the ballast lets no write in

            filler.unlink()
            until(lambda: writing.write("again").status_code in {201, 409}, "writes go on")
            until(lambda: ballast.held() == disks.STEPS, "the ballast is taken back")
            assert tending.reserve.look().pressure == "room"
        report = verified(world)

    assert {status for _, status in writing.answers} <= {201, 409, 507}  # never an error that nobody foresaw
    kept = {f"model:disk/{name}" for name in writing.acknowledged}
    assert len(kept) > 20
    assert report.kinds["version.revoked"] == 1
    assert report.kinds["model.created"] == len(kept) + 1  # and the one of the story


def test_a_full_disk_that_only_the_database_sees_refuses_writes_and_loses_nothing(
    small_disk: Path, cluster: Postgres, portal: BlockingPortal, tmp_path: Path
) -> None:
    """As with a database on another machine: its volume cannot be looked at, so its own error 53100 has to do."""
    with Worlds(cluster, portal, tmp_path).at(Step.EMPTY) as world:
        writing = Writing(world)
        for number in range(20):
            good(writing.write(f"before-{number}"))
        world.sql("CREATE TABLE bulk (data text)")
        world.sql("GRANT ALL ON bulk TO khatim_service")
        filler = fill(small_disk)
        seen: list[httpx.Response] = []
        with pytest.raises(psycopg.errors.DiskFull):
            world.sql("INSERT INTO bulk SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
        for number in range(2000):
            seen.append(writing.write(f"full-{number}"))
            if seen[-1].status_code == httpx.codes.INSUFFICIENT_STORAGE:
                break
        told = problem(seen[-1], 507, "registry-full")
        assert "no room left" in told["detail"]

        filler.unlink()
        until(lambda: writing.write("after").status_code in {201, 409}, "writes go on")
        models = {row[0] for row in world.sql("SELECT name FROM models WHERE namespace = 'disk'")}
        report = verified(world)

    assert models == set(writing.acknowledged)
    assert report.kinds["model.created"] == len(models)


def because() -> dict[str, str]:
    """Return the body of what needs a reason."""
    return {"because": "the disk is full and this has to stop"}
