# SPDX-License-Identifier: Apache-2.0
"""The ledger is told what was done to the authority, once, whoever tells it and however late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from khatim.errors import Misconfigured
from registry import authority_history
from registry.signing import ceremony, rotation
from registry.signing.authority import Authority
from registry.signing.keys import FolderKeys
from registry.signing.record import Change, PublicRecord
from tests.support.world import World

AT = datetime(2025, 11, 23, 2, 0, tzinfo=UTC)
WHO = "p-0123456789abcdef0123"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys = FolderKeys(tmp_path / "keys")
    Authority.create(tmp_path / "authority", "demo", lambda: AT, keys=keys, by=WHO).close()
    rotation.rotate(tmp_path / "authority", "signature-log", keys, AT, by=WHO, because="yearly")
    return tmp_path / "authority"


def record(folder: Path) -> PublicRecord:
    return rotation.load(folder)


def test_a_rotation_made_without_the_database_is_told_when_there_is_one(world: World, folder: Path) -> None:
    assert authority_history.tell(world.parts.ledger, record(folder)) == 2
    founded, told = world.told()

    assert (founded["kind"], told["kind"]) == ("authority.founded", "authority.rotated")
    assert told["resource"] == "authority:demo"
    assert told["actor"] == "service:khatim"
    assert told["payload"] == {
        "at": "2025-11-23T02:00:00Z",
        "by": WHO,
        "key": "signature-log-2",
        "because": "yearly",
        "details": {"fingerprint": record(folder).signature_log[-1].fingerprint},
    }


def test_each_change_is_told_once_also_when_several_tell_it(world: World, folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: authority_history.tell(world.parts.ledger, record(folder)), range(4)))

    assert sorted(told) == [0, 0, 0, 2]
    assert world.kinds() == ["authority.founded", "authority.rotated"]


def test_every_kind_of_change_has_its_event(world: World, folder: Path) -> None:
    keys = FolderKeys(folder.parent / "keys")
    later = AT + timedelta(hours=1)
    ceremony.new_root(folder, keys, keys, later, by=WHO)
    rotation.compromise(folder, "signing-1", AT, later, by=WHO)
    for kind in ("backed_up", "recovery_tested", "restored"):
        rotation.note(folder, Change(kind, "2025-11-23T03:00:00Z", WHO))
    authority_history.tell(world.parts.ledger, record(folder))

    assert world.kinds() == [
        f"authority.{kind}"
        for kind in (
            "founded", "rotated", "root_added", "rotated", "rotated", "compromised",
            "backed_up", "recovery_tested", "restored",
        )
    ]  # fmt: skip


def test_a_restored_history_goes_on_where_the_ledger_knows_more(world: World, folder: Path) -> None:
    """The kit was older than the ledger: what the ledger knows is not told again, what is new is."""
    old = record(folder)
    rotation.note(folder, Change("backed_up", "2025-11-23T03:00:00Z", WHO))
    authority_history.tell(world.parts.ledger, record(folder))
    restored = replace(old, history=(*old.history, Change("restored", "2025-11-24T03:00:00Z", WHO)))

    assert authority_history.tell(world.parts.ledger, restored) == 1
    assert world.kinds()[-2:] == ["authority.backed_up", "authority.restored"]


def test_a_change_of_an_unknown_kind_is_not_passed_over(world: World, folder: Path) -> None:
    known = record(folder)
    with pytest.raises(Misconfigured, match="unknown kind 'conjured'"):
        authority_history.tell(
            world.parts.ledger,
            replace(known, history=(*known.history, Change("conjured", "2025-11-23T03:00:00Z", WHO))),
        )
    assert world.kinds() == []
