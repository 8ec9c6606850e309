# SPDX-License-Identifier: Apache-2.0
"""What an agent keeps of the signed list: verified, never exchanged for an older one, there after a restart."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from khatim.errors import Misconfigured, RevokedRefused, SignatureInvalid, VerificationFailed
from khatim.wire import work
from registry import revocations, standing
from registry.signing import revocation_list
from runners.zone.revocations import FILE, Keeper
from tests.support.http import good
from tests.support.people import ADEL, PETRA
from tests.support.world import VERSION, World

BECAUSE = "it was poisoned"


def keeper(world: World, folder: Path) -> Keeper:
    notary = world.parts.notary
    return Keeper(folder, lambda: notary.root, notary.instance)


def served(world: World) -> str:
    return str(good(world.agent.api.get("/v1/agent/revocations"))["bundle"])


def revoke(world: World) -> str:
    digest = str(good(world.as_(ADEL).get(VERSION))["files"][0]["digest"])
    good(world.as_(PETRA).post("/v1/revocations", {"kind": "artifact", "target": digest, "because": BECAUSE}))
    return digest


def orders(number: int, at: datetime) -> work.Orders:
    return work.Orders(at=at, endpoints=[], revocations=number)


def test_a_restarted_agent_without_a_connection_still_refuses_what_it_knew(ready: World, tmp_path: Path) -> None:
    before = keeper(ready, tmp_path)
    before.take(served(ready))
    digest = revoke(ready)
    before.require_usable({"model": digest}, ready.clock())
    before.take(served(ready))
    again = keeper(ready, tmp_path)

    assert again.number == 1
    assert not again.allows({"files": [{"digest": digest}]}, ready.clock()).holds
    with pytest.raises(RevokedRefused, match=BECAUSE) as refused:
        again.require_usable({"files": [{"digest": digest}]}, ready.clock())
    assert refused.value.advice
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_an_older_list_is_refused_also_after_a_restart(ready: World, tmp_path: Path) -> None:
    old = served(ready)
    revoke(ready)
    keeper(ready, tmp_path).take(served(ready))
    again = keeper(ready, tmp_path)

    with pytest.raises(VerificationFailed, match="number 0, but number 1 was seen"):
        again.take(old)
    assert again.number == 1


def test_another_list_under_the_same_number_is_refused(ready: World, tmp_path: Path) -> None:
    revoke(ready)
    kept = keeper(ready, tmp_path)
    kept.take(served(ready))
    with ready.parts.ledger.reading(ADEL.actor) as reader:
        [row] = [row.as_row for row in standing.rows_of(reader)]
    notary = ready.parts.notary
    pen = notary.signer_for(notary.service())
    forged = pen.sign(revocation_list.statement_of([{**row, "because": "something else"}], at=ready.clock()))

    with pytest.raises(VerificationFailed, match="two different lists"):
        kept.take(forged)


def test_a_list_with_a_gap_is_none(ready: World) -> None:
    revoke(ready)
    with ready.parts.ledger.reading(ADEL.actor) as reader:
        [row] = [row.as_row for row in standing.rows_of(reader)]
    notary = ready.parts.notary
    pen = notary.signer_for(notary.service())
    cut = pen.sign(revocation_list.statement_of([{**row, "number": 2}], at=ready.clock()))

    with pytest.raises(SignatureInvalid, match="not complete"):
        revocation_list.read(cut, notary.root, instance=notary.instance)


def test_a_list_that_somebody_changed_on_disk_stops_the_agent_from_starting(ready: World, tmp_path: Path) -> None:
    keeper(ready, tmp_path).take(served(ready))
    file = tmp_path / FILE
    file.write_text(file.read_text().replace('"sig":"M', '"sig":"N'))

    with pytest.raises(Misconfigured, match="does not verify"):
        keeper(ready, tmp_path)


def test_an_overdue_list_lets_nothing_new_start(ready: World, tmp_path: Path) -> None:
    kept = keeper(ready, tmp_path)
    with pytest.raises(VerificationFailed, match="overdue"):
        kept.require_fresh(ready.clock())
    kept.take(served(ready))
    kept.require_fresh(ready.clock())

    with pytest.raises(VerificationFailed, match="overdue"):
        kept.require_fresh(ready.clock() + revocation_list.LIFE + timedelta(minutes=1))


def test_a_newer_number_or_an_old_list_makes_the_agent_ask_again(ready: World, tmp_path: Path) -> None:
    kept, now = keeper(ready, tmp_path), ready.clock()
    assert kept.is_due(orders(0, now), now)
    kept.take(served(ready))

    assert not kept.is_due(orders(0, now), now)
    assert kept.is_due(orders(1, now), now)
    assert kept.is_due(orders(0, now), now + timedelta(hours=3))


def test_a_new_issue_of_the_same_list_only_renews_its_dates(ready: World, tmp_path: Path) -> None:
    kept = keeper(ready, tmp_path)
    first = served(ready)
    kept.take(first)
    ready.clock.forward(hours=2)
    second = served(ready)
    kept.take(second)
    kept.take(first)  # another worker of the registry may still hand out the issue of an hour ago

    assert (tmp_path / FILE).read_text() == second


def test_the_list_is_the_registrys_to_sign(ready: World) -> None:
    with ready.parts.ledger.reading(ADEL.actor) as reader:
        bundle = revocations.signed(reader, ready.parts.notary)
    other = "other"

    with pytest.raises(SignatureInvalid):
        revocation_list.read(bundle, ready.parts.notary.root, instance=other)
