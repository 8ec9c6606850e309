# SPDX-License-Identifier: Apache-2.0
"""``khatim verify``: then and now, whom each claim rests on, why something fails and what to do about it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from khatim.cli.judgements import Judgement
from khatim.cli.judging import judge
from khatim.cli.output import moment_of
from khatim.cli.verdicts import judgement_as_json, show_judgement
from khatim.errors import Malformed, VerificationFailed
from khatim.vocabulary import Basis, Revoked
from khatim.wire import proofs
from tests.khatim.sdk import Sdk
from tests.support.http import good
from tests.support.people import ADEL, MONA, PETRA, VERA
from tests.support.world import DATASET, MODEL, World

Json = dict[str, Any]


def dossier(world: World) -> proofs.Dossier:
    answer = world.as_(ADEL).get(f"/v1/models/{MODEL}/versions/1/dossier")
    return proofs.Dossier.model_validate(good(answer))


def judged(world: World, *, at: datetime | None = None, **more: Any) -> Judgement:
    found = dossier(world)
    return judge(found, found.trusted_root, at=at or world.clock(), now=world.clock(), **more)


def revoke(world: World, kind: str, target: str, **more: Any) -> Json:
    body = {"kind": kind, "target": target, "because": "it was stolen", **more}
    return dict(good(world.as_(PETRA).post("/v1/revocations", body)))


def shown(found: Judgement) -> str:
    page = io.StringIO()
    show_judgement(Console(file=page, width=200, highlight=False), found, root="a file")
    return page.getvalue()


def test_each_claim_says_whom_it_rests_on(serving: World) -> None:
    found = judged(serving)

    bases = {one.kind: one.bases for station in found.stations for one in station.statements}
    assert bases["https://khatim.dev/buildtypes/training/v1"] == (Basis.RUNNER_ATTESTED,)
    assert bases["https://khatim.dev/attestations/approval/v1"] == (Basis.SERVER_ATTESTED,)
    assert {one.bases for one in found.consents} == {(Basis.SERVER_ATTESTED,)}
    assert {rests for _, rests in found.evidence} == {(Basis.RUNNER_ATTESTED,)}
    page = shown(found)
    assert "rests on: runner-attested; time attested by the operator only" in page
    assert "revocations: list 0 of" in page


def key_of(world: World) -> str:
    """Return the key behind the first statement, named by its place in the signature log."""
    bundle = json.loads(dossier(world).nodes[0].statements[0].bundle)
    return f"log:{bundle['verificationMaterial']['tlogEntries'][0]['logIndex']}"


REACHES: list[tuple[str, Callable[[World], str]]] = [
    (Revoked.STATEMENT.value, lambda world: str(dossier(world).nodes[0].statements[0].digest)),
    (Revoked.KEY.value, key_of),
    (Revoked.IDENTITY.value, lambda _: "agent/ae-health/*"),
    (Revoked.ARTIFACT.value, lambda _: f"dataset:{DATASET}"),
]


@pytest.mark.parametrize(("kind", "target"), REACHES, ids=[kind for kind, _ in REACHES])
def test_every_kind_of_revocation_is_said_with_reason_and_advice(
    serving: World, kind: str, target: Callable[[World], str]
) -> None:
    revoke(serving, kind, target(serving), from_the_beginning=True)
    faults = judged(serving).faults

    said = [one for one in faults if "it was stolen" in one.why]
    assert said
    assert all(f"the {kind} " in one.why and "is revoked from the beginning" in one.why for one in said)
    assert all(one.advice for one in faults)


def test_what_held_then_and_fell_since_is_told_for_both_moments(serving: World) -> None:
    serving.clock.forward(seconds=10)
    then = serving.clock()
    serving.clock.forward(days=10)
    revoke(serving, "statement", dossier(serving).nodes[0].statements[0].digest)
    serving.clock.forward(days=1)

    before, after = judged(serving, at=then), judged(serving)
    assert before.faults == ()
    assert any("it was stolen" in sentence for sentence in before.fallen)
    assert "! held then, does not hold now" in shown(before)
    assert any("it was stolen" in one.why for one in after.faults)
    told = judgement_as_json(before, root="a file")
    assert json.loads(json.dumps(told))["holds"] is True
    assert [one["then"] for one in told["claims"] if not one["now"]] == [True]


def test_what_nobody_could_know_then_is_said_to_be_that(serving: World) -> None:
    serving.clock.forward(seconds=10)
    then = serving.clock()
    serving.clock.forward(days=10)
    revoke(serving, "identity", f"person/{VERA.ref}", from_the_beginning=True)

    faults = judged(serving, at=then).faults
    assert any("Nobody could know that then" in one.why for one in faults)


def test_before_anything_was_signed_it_says_so(serving: World) -> None:
    faults = judged(serving, at=serving.clock() - timedelta(days=400)).faults

    assert any(one.why == "it was signed only later" for one in faults)
    assert all(one.advice for one in faults)


def test_a_version_that_was_revoked_later_held_then(serving: World) -> None:
    serving.sequence()
    serving.clock.forward(seconds=10)
    then = serving.clock()
    serving.clock.forward(days=1)
    good(serving.as_(MONA).post(f"/v1/models/{MODEL}/versions/1/revocation", {"because": "it was wrong"}))
    serving.sequence()
    serving.clock.forward(days=1)

    assert judged(serving, at=then).faults == ()
    assert any("it was wrong" in one.why for one in judged(serving).faults)


def test_an_overdue_list_is_a_fault_with_advice(serving: World) -> None:
    old = dossier(serving)
    found = judge(old, old.trusted_root, at=serving.clock(), now=serving.clock() + timedelta(days=2))

    [fault] = found.faults
    assert "was to be renewed by" in fault.why
    assert fault.advice


def test_a_list_older_than_one_that_was_seen_is_refused(serving: World) -> None:
    with pytest.raises(VerificationFailed, match="you know number 3") as refused:
        judged(serving, known=3)
    assert refused.value.advice


def test_a_moment_is_read_or_refused_with_the_form() -> None:
    assert moment_of("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment_of("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    with pytest.raises(Malformed) as refused:
        moment_of("last Tuesday")
    assert refused.value.advice


def test_the_sdk_revokes_previews_lists_and_lifts(sdk: Sdk) -> None:
    petra, mona = sdk.as_(PETRA), sdk.as_(MONA)
    preview = petra.revocations.preview("identity", "agent/ae-health/*", because="it was stolen")
    row = petra.revocations.record("identity", "agent/ae-health/*", because="it was stolen")
    lifted = mona.revocations.lift(row.id, because="it was not")

    assert (preview.versions, preview.deployments) == ([], [])
    assert [(one.number, one.lifts) for one in mona.revocations.list()] == [(1, None), (2, 1)]
    assert lifted.lifts == row.number
    assert mona.revocations.signed().number == 2
