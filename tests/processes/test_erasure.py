# SPDX-License-Identifier: Apache-2.0
"""A person erased on a real server, and an older database restored beneath it: nobody can read them again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway import local_tokens, supervisor
from gateway.embedded import EmbeddedDatabase
from tests.processes.installation import Installation, khatim

NAME = "Zubaida Al Farsi"
WHY = ["--because", "she left and asked for it", "--legal-basis", "PDPL Art 15"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Give an installation of this test's own, with a list of tombstones elsewhere."""
    monkeypatch.setenv("KHATIM_TOMBSTONES", str(tmp_path / "elsewhere" / "erasures.jsonl"))
    made = Installation(tmp_path)
    made.up()
    yield made
    made.down()


def token(house: Installation, name: str, role: str) -> str:
    """Return a person's token."""
    return local_tokens.access(house.data, name, [role], at=datetime.now(UTC), ttl=timedelta(hours=1))


def said(house: Installation, name: str, role: str, *words: str, status: int = 0) -> str:
    """Run a command as a person."""
    url = str(supervisor.require_running(house.data)["url"])
    done = khatim(*words, KHATIM_SERVER=url, KHATIM_TOKEN=token(house, name, role))
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def people(house: Installation) -> list[Any]:
    """Return the rows of people, as the superuser of the database sees them."""
    with psycopg.connect(EmbeddedDatabase(house.data / "postgres").url("postgres")) as connection:
        return [row[0] for row in connection.execute("SELECT ref FROM people ORDER BY first_seen")]


def kept(folder: Path) -> bytes:
    """Return every byte of the files below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def copied(source: Path, target: Path) -> None:
    """Copy a folder with its owners, as a backup does."""
    shutil.copytree(source, target)
    for path in [source, *source.rglob("*")]:
        owner = path.stat()
        os.chown(target / path.relative_to(source), owner.st_uid, owner.st_gid)


def test_an_older_backup_of_database_and_keys_brings_nobody_back(house: Installation, tmp_path: Path) -> None:
    said(house, NAME, "validator", "whoami")
    ref = people(house)[0]
    shown = said(house, "Petra", "privacy-officer", "people", "show", ref, "--because", "the regulator asked")
    assert NAME in shown
    house.down()
    assert NAME.encode() not in kept(house.data / "postgres")
    for part in ("postgres", "keys", "tombstones"):
        if (house.data / part).exists():
            copied(house.data / part, tmp_path / "backup" / part)

    house.up()
    asked = said(house, "Petra", "privacy-officer", "people", "erase", ref, *WHY)
    name = asked.split("khatim people approve ")[1].split()[0]
    refused = said(house, "Petra", "privacy-officer", "people", "approve", name, status=1)
    assert "neither asked for it nor is its subject" in " ".join(refused.split())
    assert "done" in said(house, "Omar", "privacy-officer", "people", "approve", name)
    assert NAME not in said(house, "Petra", "privacy-officer", "people", "show", ref, "--because", "is she gone?")
    assert ref not in people(house)
    house.down()

    for part in ("postgres", "keys", "tombstones"):  # everything is as it was before, the keys included
        shutil.rmtree(house.data / part, ignore_errors=True)
        if (tmp_path / "backup" / part).exists():
            copied(tmp_path / "backup" / part, house.data / part)
    house.up()

    assert ref not in people(house)
    again = said(house, "Petra", "privacy-officer", "people", "show", ref, "--because", "is she back?")
    assert NAME not in again
    assert "erased" in said(house, NAME, "validator", "whoami", status=1)
    assert said(house, "Aisha", "auditor", "ledger", "list", "--kind", "person.erased", "--json").count(ref) >= 1
