# SPDX-License-Identifier: Apache-2.0
"""Residency: the demo's refusals, what an authorisation must hold, and properties over all movements."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Certainty
from policies.loading import PolicyBundle
from policies.residency import ResidencyRules, decide, weigh
from policies.transfers import Code, Movement, MovementKind, TransferAuthorisation
from tests.policies.examples import NOW, authorisation, movement

ZONES = [
    "ae-onshore",
    "ae-fin",
    "ae-health",
    "ae-health-auh",
    "ae-gov",
    "ae-difc",
    "ae-adgm",
    "ext-de",
    "ext-us",
    "ae-health-airgap",
]
TAGS = [
    "personal",
    "health.ae",
    "bank.confidential",
    "gov.secret",
    "children",
    "anonymised",
    "public",
    "export-controlled",
]
MECHANISMS = [
    "CONTRACT",
    "MOH-51",
    "CB-6.3",
    "DPIA",
    "PDPL-23-CONTRACT",
    "DIFC-27",
    "EU-SCC",
    "GOV-OWNER",
    "DECLASSIFICATION",
]

movements = st.builds(
    lambda kind, origin, target, tags: movement(origin, target, *tags, kind=kind),
    st.sampled_from(MovementKind),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
    st.frozensets(st.sampled_from(TAGS), max_size=4),
)


@pytest.mark.parametrize("kind", MovementKind)
def test_a_health_model_does_not_leave_the_state_by_any_kind_of_movement(
    bundle: PolicyBundle, kind: MovementKind
) -> None:
    decision = decide(bundle.residency, movement("ae-health", "ext-de", "health.ae", kind=kind), at=NOW)

    assert not decision
    assert decision.rule == "health.ae/outside-state"
    assert decision.legal_basis == "Federal Law 2/2019 Art 13; MoHAP Decision 51/2021"
    assert decision.certainty is Certainty.SECONDARY
    assert decision.policy == str(bundle.digest)


def test_a_health_model_may_be_used_where_it_is(bundle: PolicyBundle) -> None:
    for kind in MovementKind:
        decision = decide(bundle.residency, movement("ae-health", "ae-health", "health.ae", kind=kind), at=NOW)
        assert decision
        assert decision.rule == "ae-health/same-emirate"


@pytest.mark.parametrize(
    ("origin", "target", "tags", "rule"),
    [
        ("ae-nowhere", "ae-health", {"health.ae"}, "zones/unknown"),
        ("ae-health", "ext-zz", {"health.ae"}, "zones/unknown"),
        ("", "", set(), "zones/unknown"),
        ("ae-health", "ae-health", {"health.ae", "helth.ae"}, "tags/unknown"),
        ("ae-health", "ae-health", {"public", "secret"}, "tags/unknown"),
    ],
)
def test_what_is_unknown_is_refused(bundle: PolicyBundle, origin: str, target: str, tags: set[str], rule: str) -> None:
    decision = decide(bundle.residency, movement(origin, target, *tags), at=NOW)

    assert not decision
    assert decision.rule == rule
    assert decision.advice


def test_data_without_tags_is_judged_as_personal(bundle: PolicyBundle) -> None:
    for target in ZONES:
        named = decide(bundle.residency, movement("ae-onshore", target, "personal"), at=NOW)
        assert decide(bundle.residency, movement("ae-onshore", target), at=NOW) == named


@pytest.mark.parametrize(
    "changes",
    [
        {"from_zone": "ae-onshore"},
        {"to_zone": "ext-fr"},
        {"to_location": "FR"},
        {"from_regimes": frozenset({"pdpl"})},
        {"data_tags": frozenset({"personal"})},
        {"purpose": "marketing"},
        {"artefact_scope": ()},
        {"artefact_scope": ("version:cardiology/*",)},
        {"mechanism": "PDPL-23-CONTRACT"},
        {"mechanism": "no such mechanism"},
        {"mechanism_evidence_digest": ""},
        {"approvals": ()},
        {"valid_from": NOW + timedelta(seconds=1)},
        {"valid_to": NOW},
        {"review_due": NOW},
        {"revoked_at": NOW},
        {"exception_id": ""},
        {"customer_consent_scope": ""},
        {"regulator_approval_ref": ""},
        {"safeguards": frozenset({"minimum-necessary"})},
    ],
    ids=str,
)
def test_an_authorisation_that_falls_short_opens_nothing(bundle: PolicyBundle, changes: dict[str, Any]) -> None:
    asked = movement("ae-health", "ext-de", "health.ae")
    complete = authorisation(bundle.zones, asked, "MOH-51")

    assert decide(bundle.residency, asked, [complete], at=NOW)
    assert not decide(bundle.residency, asked, [replace(complete, **changes)], at=NOW)


def test_a_refusal_says_what_the_record_on_file_lacks(bundle: PolicyBundle) -> None:
    asked = movement("ae-health", "ext-de", "health.ae")
    record = authorisation(bundle.zones, asked, "MOH-51", revoked_at=NOW, exception_id="")

    reason = decide(bundle.residency, asked, [record], at=NOW).reason

    assert "is revoked" in reason
    assert "has no exception_id" in reason


def test_encryption_alone_changes_nothing(bundle: PolicyBundle) -> None:
    asked = movement("ae-onshore", "ext-de", "personal")
    encrypted = authorisation(bundle.zones, asked, "CONTRACT", safeguards=frozenset({"encryption"}))

    assert not decide(bundle.residency, asked, [encrypted], at=NOW)


def test_two_records_that_both_cover_leave_the_basis_open(bundle: PolicyBundle) -> None:
    asked = movement("ae-health", "ext-de", "health.ae")
    one = authorisation(bundle.zones, asked, "MOH-51")

    decision = decide(bundle.residency, asked, [one, replace(one, ref="transfer:other")], at=NOW)

    assert not decision
    assert "more than one" in decision.reason


def test_what_came_in_under_an_authorisation_may_be_used_there_while_it_lasts(bundle: PolicyBundle) -> None:
    entry = movement("ae-health", "ae-onshore", "health.ae")
    record = authorisation(bundle.zones, entry, "CONTRACT")
    stay = movement("ae-onshore", "ae-onshore", "health.ae")

    assert decide(bundle.residency, stay, [record], at=NOW)
    assert not decide(bundle.residency, stay, [], at=NOW)
    assert not decide(bundle.residency, stay, [record], at=record.valid_to)


def test_health_data_does_not_become_something_else_on_the_way(bundle: PolicyBundle) -> None:
    """The tag brings the health law along: from onshore it meets the same rules as from the health zone."""
    for target in ("ae-difc", "ae-fin", "ext-de"):
        direct = decide(bundle.residency, movement("ae-health", target, "health.ae"), at=NOW)
        via = decide(bundle.residency, movement("ae-onshore", target, "health.ae"), at=NOW)
        assert (via.allowed, via.rule) == (direct.allowed, direct.rule) == (False, direct.rule)


def test_unsettled_questions_ship_off(bundle: PolicyBundle) -> None:
    assert bundle.residency.transfers.flags
    assert not any(flag.on for flag in bundle.residency.transfers.flags.values())
    assert not any(one.locations for one in bundle.residency.transfers.adequacy.values())


def test_every_cell_of_the_matrix_is_written(bundle: PolicyBundle) -> None:
    for regime in bundle.zones.regimes:
        rules = [rule for rule in bundle.residency.transfers.rules.values() if rule.regime == regime]
        for column in bundle.residency.columns:
            assert any(not rule.to or column in rule.to for rule in rules), (regime, column)


def test_no_movement_between_shipped_zones_falls_through_the_matrix(bundle: PolicyBundle) -> None:
    names = [*(zone.name for zone in bundle.zones), "ext-de", "ext-us", "ae-onshore-cii", "ae-health-airgap"]
    for origin in names:
        for target in names:
            for tag in bundle.residency.transfers.tags:
                said = decide(bundle.residency, movement(origin, target, tag), at=NOW)
                assert said.rule in bundle.residency.transfers.rules, (origin, target, tag, said)


@given(movements)
def test_the_strictest_refusal_answers(bundle: PolicyBundle, asked: Movement) -> None:
    rules = bundle.residency.transfers.rules

    said = weigh(bundle.residency, asked, at=NOW)

    assert said[0] == decide(bundle.residency, asked, at=NOW)
    assert said[0].allowed is all(one.allowed for one in said)
    if not said[0]:
        worst = max(rules[one.rule].code.severity for one in said if not one.allowed)
        assert rules[said[0].rule].code.severity == worst


def with_records(rules: ResidencyRules, asked: Movement, mechanisms: frozenset[str]) -> list[TransferAuthorisation]:
    """Return complete records for *asked* that cover every tag there is."""
    everything = frozenset(rules.transfers.tags)
    return [replace(authorisation(rules.zones, asked, one), data_tags=everything) for one in sorted(mechanisms)]


@given(movements, st.sampled_from(TAGS), st.frozensets(st.sampled_from(MECHANISMS)))
def test_one_more_tag_never_opens_a_way(
    bundle: PolicyBundle, asked: Movement, tag: str, mechanisms: frozenset[str]
) -> None:
    """Except the first: data that nobody described is judged as personal, data declared public is not."""
    rules = bundle.residency
    records = with_records(rules, asked, mechanisms)
    more = replace(asked, tags=asked.tags | {tag})

    if asked.tags and decide(rules, more, records, at=NOW):
        assert decide(rules, asked, records, at=NOW)


@given(movements, st.frozensets(st.sampled_from(MECHANISMS)), st.sampled_from(MECHANISMS))
def test_an_authorisation_by_another_mechanism_closes_nothing(
    bundle: PolicyBundle, asked: Movement, mechanisms: frozenset[str], another: str
) -> None:
    # Unless a rule takes either: then two records cover, and exactly one must (compliance.md 2.5).
    either = [r.mechanisms for r in bundle.residency.transfers.rules.values() if another in r.mechanisms]
    if any(mechanisms & set(names) for names in either):
        return
    before = decide(bundle.residency, asked, with_records(bundle.residency, asked, mechanisms), at=NOW)
    after = decide(bundle.residency, asked, with_records(bundle.residency, asked, mechanisms | {another}), at=NOW)

    assert after.allowed >= before.allowed


@given(movements, st.frozensets(st.sampled_from(MECHANISMS)))
def test_health_data_leaves_the_state_by_the_decision_of_the_ministry_or_not_at_all(
    bundle: PolicyBundle, asked: Movement, mechanisms: frozenset[str]
) -> None:
    rules = bundle.residency
    target = rules.zone(asked.to_zone)
    told = replace(asked, tags=asked.tags | {"health.ae"})

    if target.location != "AE" and "MOH-51" not in mechanisms:
        assert not decide(rules, told, with_records(rules, told, mechanisms), at=NOW)


def test_denied_means_denied_whatever_is_on_file(bundle: PolicyBundle) -> None:
    rules = bundle.residency
    closed = [name for name, rule in rules.transfers.rules.items() if rule.code is Code.DENY and not rule.mechanisms]

    assert closed
    asked = movement("ae-gov", "ae-difc", "gov.internal")
    assert not decide(rules, asked, with_records(rules, asked, frozenset(rules.transfers.mechanisms)), at=NOW)
