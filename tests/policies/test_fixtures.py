# SPDX-License-Identifier: Apache-2.0
"""Every rule of transfers.yaml and gates.yaml passes and fails by its fixtures; a rule without fixtures fails here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from khatim.vocabulary import FileRole, Role, Stage, VersionStatus
from policies.facts import Facts, FileFact, Transition, Verdict
from policies.gates import evaluate
from policies.loading import PolicyBundle
from policies.requirements import Gates
from policies.residency import ResidencyRules, decide, weigh
from policies.transfers import MovementKind
from policies.voices import may_approve
from tests.policies.examples import NOW, approval, authorisation, bare, evaluation, movement, ready

FIXTURES = Path(__file__).parent / "fixtures"


def fixtures_of(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.load((FIXTURES / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    return loaded


def name_of(fixture: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in fixture.items())


def changed(rules: ResidencyRules, fixture: dict[str, Any]) -> ResidencyRules:
    """Return the rules with the flags on and the adequacy lists that a fixture assumes."""
    file = rules.transfers
    flags = {name: replace(flag, on=flag.on or name in fixture.get("on", ())) for name, flag in file.flags.items()}
    lists = {
        regime: replace(one, locations=frozenset(fixture.get("adequate", {}).get(regime, one.locations)))
        for regime, one in file.adequacy.items()
    }
    return ResidencyRules(rules.zones, replace(file, flags=flags, adequacy=lists), rules.policy)


@pytest.mark.parametrize("fixture", fixtures_of("transfers.yaml"), ids=name_of)
def test_a_movement_is_decided_as_its_rule_says(bundle: PolicyBundle, fixture: dict[str, Any]) -> None:
    rules = changed(bundle.residency, fixture)
    origin, target = fixture["move"].split(" > ")
    asked = movement(origin, target, *fixture["tags"], kind=MovementKind(fixture.get("kind", "replicate")))
    records = [authorisation(rules.zones, asked, mechanism) for mechanism in fixture.get("by", ())]

    decision = decide(rules, asked, records, at=NOW)

    said = {one.rule: one.allowed for one in weigh(rules, asked, records, at=NOW)}
    assert decision.allowed is (fixture["expect"] == "allow"), decision
    if decision.allowed:
        assert said[fixture.get("decided_by", fixture["rule"])]
    else:
        assert decision.rule == fixture.get("decided_by", fixture["rule"]), decision
        assert decision.legal_basis
        assert decision.certainty
        assert decision.advice
    assert decision.policy == str(bundle.digest)


def test_every_transfer_rule_has_a_fixture_that_passes_and_one_that_fails(bundle: PolicyBundle) -> None:
    seen = {(one["rule"], one["expect"]) for one in fixtures_of("transfers.yaml")}
    own = {one["rule"] for one in fixtures_of("transfers.yaml") if "decided_by" not in one}

    for rule in bundle.residency.transfers.rules:
        assert {(rule, "allow"), (rule, "refuse")} <= seen, rule
        assert rule in own, f"{rule} never speaks for itself"


def facts_of(gates: Gates, fixture: dict[str, Any]) -> Facts:
    """Return the facts that a fixture of gates.yaml describes."""
    changes: dict[str, Any] = {}
    if "tier" in fixture:
        changes["tier"] = int(fixture["tier"])
    if "tags" in fixture:
        changes["tags"] = fixture["tags"]
        changes["inherited_tags"] = frozenset(fixture["tags"])
    if "files" in fixture:
        changes["files"] = tuple(
            FileFact(path=path, role=FileRole.WEIGHTS, verdict=Verdict(verdict))
            for path, verdict in fixture["files"].items()
        )
    if fixture.get("evaluation") == "none":
        changes["evidence"] = ()
    elif "evaluation" in fixture:
        given: dict[str, Any] = {key: float(value) for key, value in fixture["evaluation"].items() if key != "passed"}
        passed = fixture["evaluation"].get("passed", "true") == "true"
        changes["evidence"] = (evaluation(bare(gates).digest, passed=passed, **given),)
    read: dict[str, Callable[[Any], Any]] = {
        "status": VersionStatus,
        "stage": Stage,
        "inherited_tags": frozenset,
        "open_findings": tuple,
        "residency": lambda _: None,
    }
    for key, value in fixture.get("change", {}).items():
        changes[key] = read.get(key, lambda text: text == "true")(value)
    if "approvals" in fixture:
        subject = bare(gates, **changes)
        changes["approvals"] = tuple(approval(gates, subject, who, Role(role)) for who, role in fixture["approvals"])
    return ready(gates, **changes)


GATES = [one for one in fixtures_of("gates.yaml") if "transition" in one]
SEPARATION = [one for one in fixtures_of("gates.yaml") if "approve" in one]


@pytest.mark.parametrize("fixture", GATES, ids=name_of)
def test_a_requirement_is_met_or_unmet_as_its_rule_says(bundle: PolicyBundle, fixture: dict[str, Any]) -> None:
    decision = evaluate(bundle.gates, Transition(fixture["transition"]), facts_of(bundle.gates, fixture), NOW)

    met = {one.rule for one in decision.met}
    if fixture["expect"] == "met":
        assert fixture["rule"] in met
        assert decision, decision.reason
    else:
        assert fixture["rule"] in decision.rules
        assert not decision
        outcome = next(one for one in decision.unmet if one.rule == fixture["rule"])
        assert outcome.reason
        assert outcome.legal_basis
    assert met.isdisjoint(decision.rules)
    assert decision.policy == str(bundle.digest)


@pytest.mark.parametrize("fixture", SEPARATION, ids=name_of)
def test_a_separation_of_duties_holds_as_its_rule_says(bundle: PolicyBundle, fixture: dict[str, Any]) -> None:
    who, role = fixture["approve"]

    decision = may_approve(bundle.gates, facts_of(bundle.gates, fixture), who, Role(role), NOW + timedelta(minutes=1))

    assert decision.allowed is (fixture["expect"] == "met")
    if not decision:
        assert decision.rule == fixture["rule"]
        assert decision.legal_basis
        assert decision.advice


def test_every_gate_rule_has_a_fixture_that_is_met_and_one_that_is_unmet(bundle: PolicyBundle) -> None:
    seen = {(one["rule"], one["expect"]) for one in fixtures_of("gates.yaml")}

    for rule in (*bundle.gates.requirements, *(one.value for one in bundle.gates.separation)):
        assert {(rule, "met"), (rule, "unmet")} <= seen, rule


def test_no_fixture_speaks_about_a_rule_that_is_gone(bundle: PolicyBundle) -> None:
    named = {one["rule"] for name in ("transfers.yaml", "gates.yaml") for one in fixtures_of(name)}
    known = {*bundle.residency.transfers.rules, *bundle.gates.requirements, *(s.value for s in bundle.gates.separation)}

    assert named <= known
