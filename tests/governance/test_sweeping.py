# SPDX-License-Identifier: Apache-2.0
"""What ends by itself is ended once, told in the ledger, and made a finding where production rests on it."""

from __future__ import annotations

import pytest

from khatim.errors import KhatimError
from khatim.vocabulary import Action, Resource
from tests.support.http import good
from tests.support.people import ADEL, MONA, SAMI
from tests.support.world import VERSION, World


def states(world: World) -> set[str]:
    return {one["state"] for one in good(world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]}


def test_approvals_whose_time_is_over_are_ended_and_production_is_told(production: World) -> None:
    assert production.sweep() == 0
    production.clock.forward(days=366)
    production.told()
    assert production.sweep() == 3

    assert states(production) == {"expired"}
    changed, opened = production.told()
    assert (changed["kind"], changed["payload"]["state"]) == ("approvals.changed", "expired")
    assert changed["payload"]["rule"] == "approval/expired"
    assert (opened["kind"], opened["payload"]["finding_kind"]) == ("finding.opened", "approval-expired")
    assert opened["actor"] == "service:khatim"
    assert production.sweep() == 0


def test_what_is_not_in_production_ends_without_a_finding(approved: World) -> None:
    approved.clock.forward(days=366)
    assert approved.sweep() == 3

    assert good(approved.as_(ADEL).get("/v1/findings"))["items"] == []


def test_a_waiver_that_ran_out_is_ended_and_told(approved: World) -> None:
    approved.clock.forward(days=91)
    body = {"rule": "production/evaluated", "days": 5, "because": "no data yet", "control": "doctors read every answer"}
    name = good(approved.as_(SAMI).post(f"{VERSION}/waivers", body))["id"]
    good(approved.as_(MONA).post(f"/v1/waivers/{name}/approval", {"because": "the control was shown"}))
    good(approved.as_(SAMI).post(f"{VERSION}/promotions", {"to": "production", "because": "it is excused"}))
    assert approved.sweep() == 0
    approved.clock.forward(days=6)
    approved.told()
    assert approved.sweep() == 1

    assert approved.kinds() == ["waiver.ended", "finding.opened"]
    assert good(approved.as_(ADEL).get(f"{VERSION}/waivers"))["items"][0]["state"] == "expired"
    assert good(approved.as_(ADEL).get("/v1/findings"))["items"][0]["kind"] == "waiver-expired"


def test_nobody_sweeps_but_the_registry_itself(approved: World) -> None:
    for who in (ADEL, MONA, SAMI):
        with approved.parts.ledger.reading(who.actor) as reader:
            assert not reader.may(Action.EXCEPTIONS_SWEEP, Resource("exceptions", "all"))
        with pytest.raises(KhatimError), approved.parts.ledger.transaction(who.actor) as tx:
            tx.require(Action.EXCEPTIONS_SWEEP, Resource("exceptions", "all"))
