# SPDX-License-Identifier: Apache-2.0
"""The profile of one person: a checklist is signed, it is never called an approval, and everything says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from khatim.errors import VerificationFailed
from khatim.vocabulary import Digest, JobKind
from khatim.wire import proofs
from policies.facts import Attestation, Facts, Transition
from policies.gates import approved_until, binding_of, evaluate
from policies.loading import PolicyBundle
from policies.overlaid import SHIPPED, shipped
from policies.requirements import NEVER_ALONE, Gates
from registry.signing.revocation import Book
from registry.signing.trust import dumps
from registry.signing.verification import TrustRoot
from runners.zone import verification
from tests.policies.examples import NOW, bare
from tests.support.http import good, problem
from tests.support.people import ADEL, MONA, PAVEL, SAMI
from tests.support.world import MODEL, VERSION, ZONE, Step, World, Worlds

SOLO = SHIPPED / "solo"
ITEMS = ["purpose", "people", "evaluation", "limits", "rollback"]
BODY = {"checked": ITEMS, "meaning": "I looked at all of it myself"}
PATH = f"{VERSION}/self-attestations"
PROMOTE = {"to": "production", "because": "nobody else is here"}


@pytest.fixture
def solo(worlds: Worlds) -> Iterator[World]:
    """Yield a world of one person, whose version's data is not among what somebody alone never decides about."""
    with worlds.at(Step.EVALUATED, SOLO) as opened:
        opened.sql("UPDATE model_versions SET tags = '{personal}'")
        opened.sql("UPDATE dataset_versions SET tags = '{personal}'")
        opened.sql("UPDATE feature_view_versions SET tags = '{personal}'")
        opened.sql("UPDATE placements SET tags = '{personal}'")
        yield opened


def attestation(gates: Gates, facts: Facts, **changes: Any) -> Attestation:
    filled: dict[str, Any] = {
        "binding": binding_of(gates, Transition.PRODUCTION, facts), "checklist": frozenset(ITEMS),
        "at": NOW - timedelta(hours=1), "expires": NOW + timedelta(days=30), "is_signed": True,
    }  # fmt: skip
    return Attestation(**{**filled, **changes})


def test_one_person_attests_and_everything_says_that_nobody_else_approved(solo: World) -> None:
    problem(solo.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE), 403, "gate-not-satisfied")
    made = good(solo.as_(SAMI).post(PATH, BODY))
    solo.told()
    good(solo.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE))
    good(solo.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))
    spec = solo.agent.claim_a(JobKind.DEPLOY)["spec"]
    told = {one["kind"]: one["payload"] for one in solo.told()}

    assert (made["attester"], set(made["checklist"])) == (SAMI.ref, set(ITEMS))
    assert good(solo.as_(ADEL).get(f"{VERSION}/approvals"))["items"] == []
    assert [one["id"] for one in good(solo.as_(ADEL).get(PATH))["items"]] == [made["id"]]
    assert good(solo.as_(ADEL).get(VERSION))["assurance"] == "self-attested"
    assert good(solo.as_(ADEL).get("/v1/deployments"))["items"][0]["assurance"] == "self-attested"
    assert told["version.promoted"]["assurance"] == told["deployment.requested"]["assurance"] == "self-attested"
    assert (spec["seats"], spec["assurance"]) == ([], "self-attested")


@pytest.mark.parametrize("left", ITEMS)
def test_every_item_must_have_been_looked_at(solo: World, left: str) -> None:
    body = {**BODY, "checked": [one for one in ITEMS if one != left]}

    assert problem(solo.as_(SAMI).post(PATH, body), 422)["left"] == [left]


def test_it_ends_and_can_be_suspended_and_withdrawn(solo: World) -> None:
    def unmet() -> list[str]:
        return [one["rule"] for one in good(solo.as_(SAMI).get(f"{VERSION}/gates/production"))["unmet"]]

    good(solo.as_(SAMI).post(PATH, BODY))
    assert unmet() == []
    body = {"about": f"version:{MODEL}@1", "severity": "high", "summary": "it is wrong", "suspend": True}
    name = good(solo.as_(MONA).post("/v1/findings", body))["id"]
    assert "production/self-attested" in unmet()
    good(solo.as_(MONA).post(f"/v1/findings/{name}/resolution", {"because": "it is right again"}))
    assert unmet() == []
    solo.clock.forward(days=91)
    assert "production/self-attested" in unmet()


def test_a_runner_counts_it_only_while_it_is_in_force(solo: World) -> None:
    def verified() -> str:
        dossier = proofs.Dossier.model_validate(good(solo.as_(ADEL).get(f"{VERSION}/dossier")))
        trust = verification.Trust(
            TrustRoot.load(dumps(solo.parts.notary.trusted_root)), "test", "https://test", Book()
        )
        found = verification.verify(
            dossier, trust, digest=dossier.version.digest, zone=ZONE, seats=[], at=solo.clock(),
            policy=str(solo.parts.rules.digest), is_self_attested=True,
        )  # fmt: skip
        return str(found.said["assurance"])

    good(solo.as_(SAMI).post(PATH, BODY))
    good(solo.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE))
    assert verified() == "self-attested: not independently approved"
    body = {"about": f"version:{MODEL}@1", "severity": "high", "summary": "it is wrong", "suspend": True}
    good(solo.as_(MONA).post("/v1/findings", body))
    with pytest.raises(VerificationFailed, match="lacks valid approvals"):
        verified()


@pytest.mark.parametrize(
    "change", ["expires_at = expires_at + interval '1 year'", "approver = 'p-x'", "checklist = '{}'"]
)
def test_what_was_signed_cannot_be_changed_in_the_database(solo: World, change: str) -> None:
    good(solo.as_(SAMI).post(PATH, BODY))
    solo.sql(f"UPDATE approvals SET {change}")
    report = good(solo.as_(SAMI).get(f"{VERSION}/gates/production"))

    assert [one["rule"] for one in report["unmet"]] == ["production/self-attested"]


def test_health_data_is_never_decided_about_alone(worlds: Worlds) -> None:
    with worlds.at(Step.EVALUATED, SOLO) as world:
        refused = problem(world.as_(SAMI).post(PATH, BODY), 403, "gate-not-satisfied")
        report = good(world.as_(SAMI).get(f"{VERSION}/gates/production"))

    assert (refused["rule"], "health.ae" in refused["detail"]) == ("self-attestation/never", True)
    assert "production/self-attested" in [one["rule"] for one in report["unmet"]]


def test_where_other_people_approve_nobody_attests_alone(evaluated: World) -> None:
    refused = problem(evaluated.as_(SAMI).post(PATH, BODY), 403, "gate-not-satisfied")

    assert refused["rule"] == "self-attestation/profile"


@pytest.mark.parametrize("tag", sorted(NEVER_ALONE))
def test_no_file_lets_one_decide_alone_about_such_data(tag: str) -> None:
    gates = PolicyBundle.load(overlay=SOLO).gates
    facts = bare(gates, tags=[tag])
    alone = replace(facts, attestations=(attestation(gates, facts),))

    assert "production/self-attested" in evaluate(gates, Transition.PRODUCTION, alone, NOW).rules


@pytest.mark.parametrize(("tier", "is_open"), [(1, False), (2, True), (3, True)])
def test_at_the_highest_tier_nobody_decides_alone(tier: int, *, is_open: bool) -> None:
    gates = PolicyBundle.load(overlay=SOLO).gates
    facts = bare(gates, tier=tier, tags=["personal"])
    alone = replace(facts, attestations=(attestation(gates, facts),))

    assert bool(evaluate(gates, Transition.PRODUCTION, alone, NOW)) is is_open


@pytest.mark.parametrize(
    "change",
    [
        {"is_signed": False},
        {"is_standing": False},
        {"checklist": frozenset(ITEMS[1:])},
        {"expires": NOW},
        {"at": NOW + timedelta(hours=1)},
    ],
)
def test_what_does_not_stand_opens_nothing(change: dict[str, Any]) -> None:
    gates = PolicyBundle.load(overlay=SOLO).gates
    facts = bare(gates, tags=["personal"])

    alone = replace(facts, attestations=(attestation(gates, facts, **change),))
    assert not evaluate(gates, Transition.PRODUCTION, alone, NOW)
    other = replace(
        attestation(gates, facts),
        binding=replace(binding_of(gates, Transition.PRODUCTION, facts), version=Digest.of(b"x")),
    )
    assert not evaluate(gates, Transition.PRODUCTION, replace(facts, attestations=(other,)), NOW)


def test_it_stands_until_its_own_end() -> None:
    gates = PolicyBundle.load(overlay=SOLO).gates
    facts = bare(gates, tags=["personal"])
    one = attestation(gates, facts)

    assert approved_until(gates, replace(facts, attestations=(one,))) == one.expires
    assert (gates.profile, shipped("solo")) == ("solo", SOLO)
