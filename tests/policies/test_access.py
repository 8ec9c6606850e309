# SPDX-License-Identifier: Apache-2.0
"""Access control by Casbin: what the shipped grants say, and that nothing but Casbin decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import casbin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from khatim.errors import Misconfigured
from khatim.vocabulary import NOBODY, SERVICE, Action, Actor, ActorKind, Resource, Role
from policies.access import CasbinAccess
from policies.conditions import Circumstances, Condition, Conditions, Hours, Weekday
from policies.grants import ALWAYS, SERVICE_ROLE, Grant, read_grants
from policies.loading import HERE, PolicyBundle

MODEL = (HERE / "access.conf").read_text(encoding="utf-8")
VERSION = Resource("version", "malignancy@1", "oncology", "ae-health", frozenset({"health.ae"}))
# The whole matrix, so that a change of roles.csv is read twice: once there, once here.
GRANTED: dict[Role, set[Action]] = {
    Role.DATA_ENGINEER: {
        Action.ROLE_BREAK_GLASS,
        Action.ROLE_REQUEST,
        Action.READ,
        Action.DATASET_INGEST,
        Action.FEATURES_MATERIALISE,
        Action.ARTIFACT_UPLOAD,
    },
    Role.DATA_SCIENTIST: {
        Action.ROLE_BREAK_GLASS,
        Action.FINDING_OPEN,
        Action.ROLE_REQUEST,
        Action.READ,
        Action.FEATURES_MATERIALISE,
        Action.AUTHORISATION_REQUEST,
        Action.TRANSFER_REQUEST,
        Action.TRAINING_REQUEST,
        Action.VERSION_REGISTER,
        Action.VERSION_EVALUATE,
        Action.VERSION_PROMOTE,
        Action.WAIVER_REQUEST,
        Action.ALIAS_SET,
        Action.DEPLOYMENT_REQUEST,
        Action.ARTIFACT_UPLOAD,
        Action.ARTIFACT_DOWNLOAD,
    },
    Role.VALIDATOR: {
        Action.ROLE_BREAK_GLASS,
        Action.FINDING_OPEN,
        Action.VERSION_SUSPEND,
        Action.ROLE_REQUEST,
        Action.READ,
        Action.LEDGER_READ,
        Action.VERSION_EVALUATE,
        Action.VERSION_APPROVE,
        Action.WAIVER_REQUEST,
        Action.INCIDENT_OPEN,
    },
    Role.PRIVACY_OFFICER: {
        Action.ROLE_CONFIRM_EMERGENCY,
        Action.ROLE_BREAK_GLASS,
        Action.FINDING_OPEN,
        Action.FINDING_ASSIGN,
        Action.VERSION_SUSPEND,
        Action.POLICY_PROPOSE,
        Action.POLICY_APPROVE,
        Action.POLICY_WITHDRAW,
        Action.ROLE_REQUEST,
        Action.HOLD_PLACE,
        Action.HOLD_RELEASE,
        Action.READ,
        Action.LEDGER_READ,
        Action.VERSION_APPROVE,
        Action.VERSION_REVOKE,
        Action.WAIVER_REVOKE,
        Action.AUTHORISATION_APPROVE,
        Action.AUTHORISATION_REVOKE,
        Action.REVOCATION_RECORD,
        Action.REVOCATION_RECORD_KEY,
        Action.REVOCATION_LIFT,
        Action.PERSON_IDENTIFY,
        Action.TRANSFER_REQUEST,
        Action.TRANSFER_APPROVE,
        Action.TRANSFER_REVOKE,
        Action.PERSON_ERASE,
        Action.LEDGER_RECOVER,
        Action.INCIDENT_OPEN,
        Action.INCIDENT_ANSWER,
        Action.INCIDENT_CLOSE,
    },
    Role.MODEL_RISK_APPROVER: {
        Action.ROLE_CONFIRM_EMERGENCY,
        Action.ROLE_BREAK_GLASS,
        Action.ALIAS_MOVE_PROTECTED,
        Action.FINDING_OPEN,
        Action.FINDING_ASSIGN,
        Action.VERSION_SUSPEND,
        Action.POLICY_PROPOSE,
        Action.POLICY_APPROVE,
        Action.POLICY_WITHDRAW,
        Action.ROLE_REQUEST,
        Action.HOLD_PLACE,
        Action.HOLD_RELEASE,
        Action.READ,
        Action.LEDGER_READ,
        Action.VERSION_APPROVE,
        Action.VERSION_REVOKE,
        Action.WAIVER_APPROVE,
        Action.WAIVER_REVOKE,
        Action.AUTHORISATION_APPROVE,
        Action.AUTHORISATION_REVOKE,
        Action.FINDING_RESOLVE,
        Action.TRANSFER_REVOKE,
        Action.REVOCATION_RECORD,
        Action.REVOCATION_RECORD_KEY,
        Action.REVOCATION_LIFT,
        Action.PERSON_ERASE,
        Action.LEDGER_RECOVER,
        Action.INCIDENT_OPEN,
        Action.INCIDENT_ANSWER,
        Action.INCIDENT_CLOSE,
    },
    Role.PLATFORM_ENGINEER: {
        Action.ROLE_CONFIRM_EMERGENCY,
        Action.ROLE_BREAK_GLASS,
        Action.ALIAS_MOVE_PROTECTED,
        Action.FINDING_OPEN,
        Action.POLICY_PROPOSE,
        Action.POLICY_WITHDRAW,
        Action.ROLE_REQUEST,
        Action.LEDGER_READ,
        Action.STREAM_MANAGE,
        Action.READ,
        Action.AGENT_INVITE,
        Action.AGENT_RETIRE,
        Action.TRANSFER_REQUEST,
        Action.DEPLOYMENT_REQUEST,
        Action.DEPLOYMENT_STOP,
        Action.JOB_CANCEL,
        Action.MONITOR_RUN,
        Action.REVOCATION_RECORD_KEY,
        Action.LEDGER_RECOVER,
        Action.LEDGER_ARCHIVE,
        Action.INCIDENT_OPEN,
    },
    Role.ACCESS_ADMINISTRATOR: {
        Action.ROLE_CONFIRM_EMERGENCY,
        Action.READ,
        Action.LEDGER_READ,
        Action.ROLE_REQUEST,
        Action.ROLE_APPROVE,
        Action.ROLE_REVOKE,
        Action.PERSON_SUSPEND,
        Action.PERSON_LINK,
        Action.SERVICE_ACCOUNT_MANAGE,
        Action.ACCESS_EXPLAIN,
        Action.REVIEW_OPEN,
        Action.REVIEW_DECIDE,
    },
    Role.AUDITOR: {Action.READ, Action.LEDGER_READ, Action.ENGAGEMENT_EXPORT, Action.ACCESS_EXPLAIN},
    Role.AGENT: {
        Action.READ,
        Action.JOB_CLAIM,
        Action.JOB_REPORT,
        Action.STATEMENT_SUBMIT,
        Action.ARTIFACT_UPLOAD,
        Action.ARTIFACT_DOWNLOAD,
    },
}


def person(*roles: Role) -> Actor:
    return Actor("person:1", ActorKind.PERSON, frozenset(roles))


def agent(zone: str | None, *roles: Role) -> Actor:
    return Actor("agent:1", ActorKind.AGENT, frozenset(roles or (Role.AGENT,)), zone)


def holder(role: Role) -> Actor:
    return agent("ae-health") if role is Role.AGENT else person(role)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_exactly_what_is_written_here(bundle: PolicyBundle, role: Role) -> None:
    allowed = {action for action in Action if bundle.access.decide(holder(role), action, VERSION)}

    assert allowed == GRANTED[role]


@pytest.mark.parametrize("action", Action)
def test_nobody_gets_nothing(bundle: PolicyBundle, action: Action) -> None:
    decision = bundle.access.decide(NOBODY, action, VERSION)

    assert not decision
    assert decision.rule == "access.conf:nobody"


@pytest.mark.parametrize("action", Action)
def test_nobody_with_every_role_still_gets_nothing(bundle: PolicyBundle, action: Action) -> None:
    assert not bundle.access.decide(Actor("nobody", ActorKind.NOBODY, frozenset(Role)), action, VERSION)


@pytest.mark.parametrize("action", Action)
def test_a_person_without_a_role_gets_nothing(bundle: PolicyBundle, action: Action) -> None:
    assert not bundle.access.decide(person(), action, VERSION)


def test_the_service_itself_gets_nothing_that_is_not_written(bundle: PolicyBundle) -> None:
    allowed = {action for action in Action if bundle.access.decide(SERVICE, action, VERSION)}

    assert allowed == {Action.PERSON_ERASE, Action.READ, Action.EXCEPTIONS_SWEEP}


@pytest.mark.parametrize("zone", ["ae-onshore", "ext-de", "", "*", "ae-health-auh", "ae-healt"])
@pytest.mark.parametrize("action", sorted(GRANTED[Role.AGENT]))
def test_an_agent_acts_in_its_own_zone_only(bundle: PolicyBundle, zone: str, action: Action) -> None:
    decision = bundle.access.decide(agent("ae-health"), action, Resource("artifact", "x", "oncology", zone))

    assert not decision
    assert decision.rule == "access.conf:own-zone"


@pytest.mark.parametrize("home", [None, "", "*", "AE-HEALTH", "ae-health\n"])
def test_an_agent_without_a_proper_zone_acts_nowhere(bundle: PolicyBundle, home: str | None) -> None:
    for zone in ("", "*", "ae-health", home or ""):
        assert not bundle.access.decide(agent(home), Action.JOB_CLAIM, Resource("zone", "x", zone=zone))


def test_an_agent_gains_nothing_by_a_role_for_people(bundle: PolicyBundle) -> None:
    greedy = agent("ae-health", *Role)

    allowed = {action for action in Action if bundle.access.decide(greedy, action, VERSION)}

    assert allowed == GRANTED[Role.AGENT]


@pytest.mark.parametrize("action", Action)
def test_a_person_gains_nothing_by_the_role_of_an_agent(bundle: PolicyBundle, action: Action) -> None:
    assert not bundle.access.decide(person(Role.AGENT), action, VERSION)


def test_who_audits_does_not_act_also_not_by_another_role(bundle: PolicyBundle) -> None:
    decision = bundle.access.decide(person(Role.AUDITOR, Role.VALIDATOR), Action.VERSION_APPROVE, VERSION)

    assert not decision
    assert decision.rule.startswith("roles.csv:")
    assert "auditor forbids" in decision.reason


def test_a_data_scientist_who_also_validates_passes_here(bundle: PolicyBundle) -> None:
    """Separation of duties refuses them a version of their own; access control cannot know whose it is."""
    assert not bundle.access.decide(person(Role.DATA_SCIENTIST), Action.VERSION_APPROVE, VERSION)
    assert bundle.access.decide(person(Role.DATA_SCIENTIST, Role.VALIDATOR), Action.VERSION_APPROVE, VERSION)


@pytest.mark.parametrize("role", Role)
def test_a_decision_names_its_row_of_the_file(bundle: PolicyBundle, role: Role) -> None:
    lines = (HERE / "roles.csv").read_text(encoding="utf-8").splitlines()

    for action in GRANTED[role]:
        decision = bundle.access.decide(holder(role), action, VERSION)
        line = lines[int(decision.rule.removeprefix("roles.csv:")) - 1]
        assert line == f"p, {role.value}, *, *, {action.value}, allow"
        assert decision.policy == str(bundle.digest)


def test_a_refusal_says_who_may(bundle: PolicyBundle) -> None:
    decision = bundle.access.decide(person(Role.DATA_ENGINEER), Action.FINDING_RESOLVE, VERSION)

    assert decision.rule == "roles.csv:default"
    assert "data-engineer" in decision.reason
    assert "model-risk-approver" in decision.advice


def test_an_unknown_bundle_still_has_a_digest_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "access.conf").write_text(MODEL)
    (tmp_path / "roles.csv").write_text("p, validator, *, *, read, allow\n")
    one = CasbinAccess.load(tmp_path)
    (tmp_path / "roles.csv").write_text("p, validator, ae-*, *, read, allow\n")

    assert one.policy.startswith("sha256:")
    assert CasbinAccess.load(tmp_path).policy != one.policy


def test_a_grant_to_the_service_is_for_the_service_only() -> None:
    access = CasbinAccess(MODEL, read_grants("p, service, *, *, job.cancel, allow"))

    assert access.decide(SERVICE, Action.JOB_CANCEL, VERSION)
    assert not access.decide(SERVICE, Action.JOB_CLAIM, VERSION)
    assert not access.decide(person(*Role), Action.JOB_CANCEL, VERSION)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("p, validator, *, *, read", "a row reads"),
        ("p, validator, *, *, read, allow, more", "no condition 'more'"),
        ("p, validator, *, *, read, allow, more, still", "a row reads"),
        ("g, validator, *, *, read, allow", "a row reads"),
        ("p, validator, , *, read, allow", "a row reads"),
        ("p, walidator, *, *, read, allow", "no role 'walidator'"),
        ("p, validator, *, *, reed, allow", "no action matches 'reed'"),
        ("p, validator, *, *, read, permit", "allow or deny"),
        ("p, validator, *-health, *, read, allow", "end of a pattern"),
    ],
)
def test_a_row_that_says_nothing_is_refused_by_its_line(row: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=r"roles\.csv:3") as caught:
        read_grants(f"# comment\n\n{row}\n")

    assert words in caught.value.detail


def test_a_row_written_twice_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"roles\.csv:2: repeats roles\.csv:1"):
        CasbinAccess(MODEL, read_grants("p, validator, *, *, read, allow\np,validator,*,*,read,allow"))


@pytest.mark.parametrize("model", ["", "[matchers]\nm = true", MODEL.replace("r.home", "r.hoem")])
def test_casbins_own_complaints_do_not_leak(model: str) -> None:
    with pytest.raises(Misconfigured, match=r"access\.conf"):
        CasbinAccess(model, read_grants("p, validator, *, *, read, allow"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"access\.conf"):
        CasbinAccess.load(tmp_path)


names = st.sampled_from(["", "a", "ae", "ae-health", "ae-onshore", "ext-de", "oncology", "x"])
patterns = st.sampled_from(["*", "a*", "ae-*", "ae-health", "ext-de", "oncology", "onc*"])
subjects = st.sampled_from([*(role.value for role in Role), SERVICE_ROLE])
actions = st.sampled_from([*(action.value for action in Action), "*", "version.*", "artifact.*"])
conditions = st.sampled_from([ALWAYS, ALWAYS, "two-factors", "health-data", "early", "unheard-of"])
grants = st.builds(
    Grant, st.just(""), subjects, patterns, patterns, actions, st.sampled_from(["allow", "allow", "deny"]), conditions
)
actors = st.builds(
    Actor,
    st.just("one"),
    st.sampled_from(ActorKind),
    st.frozensets(st.sampled_from(Role), max_size=4),
    st.one_of(st.none(), names),
    st.sampled_from([None, 1, 2]),
)
tags = st.frozensets(st.sampled_from(["health.ae", "synthetic"]), max_size=2)
resources = st.builds(Resource, st.just("version"), st.just("x"), names, names, tags)
moments = st.one_of(st.none(), st.datetimes(timezones=st.just(UTC)))
KNOWN = Conditions(
    conditions={
        "two-factors": Condition(title="two", strength=2),
        "health-data": Condition(title="health", any_tag=frozenset({"health.ae"})),
        "early": Condition(title="early", hours=Hours(since=time(0), until=time(12), timezone="Asia/Dubai")),
    }
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(grants, max_size=12, unique_by=lambda one: one.row),
    st.lists(st.tuples(actors, st.sampled_from(Action), resources, moments), min_size=1, max_size=6),
)
def test_every_decision_equals_plain_casbin(
    rows: list[Grant], questions: list[tuple[Actor, Action, Resource, datetime | None]]
) -> None:
    """The same rows and model in an enforcer of Casbin's own making, without our index, cache and reading of files."""
    placed = [replace(row, place=f"roles.csv:{number}") for number, row in enumerate(rows, start=1)]
    ours = CasbinAccess(MODEL, placed, conditions=KNOWN)
    model = casbin.Model()
    model.load_model_from_text(MODEL)
    plain = casbin.Enforcer(model)
    for row in rows:
        plain.add_policy(*row.row)

    for actor, action, resource, at in [*questions, *questions]:
        roles = {role.value for role in actor.roles} | ({SERVICE_ROLE} if actor.kind is ActorKind.SERVICE else set())
        home = (actor.zone or "") if actor.kind is ActorKind.AGENT else "*"
        holding, failing = set[str](), set[str]()
        for name, condition in KNOWN.conditions.items():
            known = Circumstances(tags=resource.tags, at=at, strength=actor.strength)
            {True: holding, False: failing, None: set[str]()}[condition.holds(known)].add(name)
        expected = actor.kind is not ActorKind.NOBODY and plain.enforce(
            roles, actor.kind.value, home, resource.zone, resource.namespace, action.value, holding, failing
        )
        decision = ours.decide(actor, action, resource, at)
        assert decision.allowed is expected
        if decision:
            named = placed[int(decision.rule.removeprefix("roles.csv:")) - 1]
            assert named.effect == "allow"
            assert named.role in roles


def test_a_row_with_a_condition_speaks_when_it_holds_and_only_then() -> None:
    rows = read_grants("p, validator, *, *, version.approve, allow, two-factors", conditions=KNOWN.conditions)
    access = CasbinAccess(MODEL, rows, conditions=KNOWN)

    said = {
        strength: access.decide(
            Actor("p", ActorKind.PERSON, frozenset({Role.VALIDATOR}), strength=strength),
            Action.VERSION_APPROVE,
            VERSION,
        )
        for strength in (None, 1, 2)
    }

    assert {strength: bool(one) for strength, one in said.items()} == {None: False, 1: False, 2: True}
    assert said[2].reason == "The role validator may do version.approve in ae-health (when two-factors)."
    assert said[1].advice == "It is for: validator (when two-factors)."


def test_a_denial_whose_condition_is_not_known_denies() -> None:
    text = "p, validator, *, *, read, allow\np, validator, *, *, read, deny, early"
    access = CasbinAccess(MODEL, read_grants(text, conditions=KNOWN.conditions), conditions=KNOWN)
    noon = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Asia/Dubai"))

    assert not access.decide(person(Role.VALIDATOR), Action.READ, VERSION)
    assert not access.decide(person(Role.VALIDATOR), Action.READ, VERSION, noon - timedelta(seconds=1))
    assert access.decide(person(Role.VALIDATOR), Action.READ, VERSION, noon)


def test_a_model_that_the_index_does_not_implement_is_refused() -> None:
    changed = MODEL.replace("&& !some(where (p.eft == deny))", "")

    with pytest.raises(Misconfigured, match=r"access\.conf is not the model"):
        CasbinAccess(changed, read_grants("p, validator, *, *, read, allow"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "nothing"},
        {"title": "night", "hours": {"since": "20:00", "until": "06:00", "timezone": "Asia/Dubai"}},
        {"title": "no day", "hours": {"since": "06:00", "until": "20:00", "timezone": "Asia/Dubai", "weekdays": []}},
        {"title": "nowhere", "hours": {"since": "06:00", "until": "20:00", "timezone": "Asia/Dubay"}},
        {"title": "unknown key", "strength": 2, "moon": "full"},
    ],
)
def test_a_condition_that_says_nothing_or_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Condition).validate_python(wrong)


def test_the_shipped_hours_are_those_of_dubai(bundle: PolicyBundle) -> None:
    assert isinstance(bundle.access, CasbinAccess)
    hours = bundle.access.conditions.conditions["working-hours"]
    assert hours.hours is not None

    assert hours.hours.weekdays == frozenset(list(Weekday)[:5])
    assert hours.holds(Circumstances(at=datetime(2026, 11, 23, 3, 0, tzinfo=UTC))) is True  # Monday, 7:00 in Dubai
    assert hours.holds(Circumstances(at=datetime(2026, 11, 23, 2, 59, tzinfo=UTC))) is False
    assert hours.holds(Circumstances(at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC))) is False  # a Sunday
    assert hours.holds(Circumstances()) is None
