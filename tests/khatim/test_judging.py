# SPDX-License-Identifier: Apache-2.0
"""Offline judgement: a true dossier holds, and whatever is changed in it is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from khatim.cli.judgements import Judgement
from khatim.cli.judging import from_the_top, instance_of, judge
from khatim.cli.verdicts import show_judgement
from khatim.errors import Misconfigured
from khatim.wire import proofs
from khatim.wire.requests import ManifestFile
from tests.khatim.sdk import Sdk
from tests.support.agents import digest
from tests.support.people import ADEL, SAMI
from tests.support.world import MODEL, Step, Worlds

VERSION = f"{MODEL}@1"
Body = dict[str, Any]
Change = Callable[[Body], None]


@pytest.fixture(scope="module")
def true(worlds: Worlds) -> Body:
    """Return the dossier of a version that serves, as JSON."""
    with worlds.at(Step.SERVING) as world:
        world.sequence()
        answer = world.as_(ADEL).get(f"/v1/models/{MODEL}/versions/1/dossier")
    body: Body = answer.json()
    return body


def judged(body: Body, *, at: datetime | None = None, root: Body | None = None) -> Judgement:
    dossier = proofs.Dossier.model_validate(json.loads(json.dumps(body)))
    return judge(dossier, root or dossier.trusted_root, at=at or datetime.now(UTC))


def changed(body: Body, change: Change) -> Body:
    copy: Body = json.loads(json.dumps(body))
    change(copy)
    return copy


def node(body: Body, kind: str) -> Body:
    found: Body = next(one for one in body["nodes"] if one["kind"] == kind)
    return found


def statement(body: Body, kind: str) -> Body:
    found: Body = next(one for one in body["nodes"][0]["statements"] if kind in one["predicate_type"])
    return found


def test_a_true_dossier_holds_from_the_model_to_the_raw_file(true: Body) -> None:
    found = judged(true)

    assert found.faults == ()
    assert [one.node.kind for one in found.stations] == ["version", "features", "dataset", "artifact"]
    assert [one.approval.role for one in found.consents if one.counts] == [
        "validator",
        "privacy-officer",
        "model-risk-approver",
    ]
    assert all(check.holds for check, _ in found.evidence)
    assert len(found.evidence) == 2
    assert found.instance == "test"


def other_files(body: Body) -> None:
    body["version"]["files"][0]["digest"] = digest("another model")


def other_manifest(body: Body) -> None:
    body["version"]["digest"] = digest("another version")


def other_data(body: Body) -> None:
    node(body, "dataset")["digest"] = digest("another dataset")


def other_raw_file(body: Body) -> None:
    node(body, "artifact")["digest"] = digest("another raw file")


def another_name(body: Body) -> None:
    one = node(body, "artifact")
    body.update(json.loads(json.dumps(body).replace(one["ref"], f"artifact:{digest('the file I wish it were')}")))


def other_zone(body: Body) -> None:
    node(body, "dataset")["zone"] = "ae-onshore"


def no_signature(body: Body) -> None:
    body["nodes"][0]["statements"].remove(statement(body, "model_signing"))


def no_provenance(body: Body) -> None:
    node(body, "features")["statements"].clear()


def a_changed_bundle(body: Body) -> None:
    one = statement(body, "approval")
    bundle = json.loads(one["bundle"])
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:200] + ("A" if payload[200] != "A" else "B") + payload[201:]
    one["bundle"] = json.dumps(bundle)


def no_list(body: Body) -> None:
    body["revocations"] = ""


def better_numbers(body: Body) -> None:
    found = next(one for one in body["evidence"] if one["kind"] == "evaluation")
    found["details"]["metrics"]["roc_auc"]["value"] = 1.0


def another_approver(body: Body) -> None:
    body["approvals"][0]["approver"] = "p-somebody"


def another_role(body: Body) -> None:
    body["approvals"][0]["role"] = "model-risk-approver"


def another_binding(body: Body) -> None:
    body["approvals"][0]["binding"]["zone"] = "ext-de"


def no_evidence(body: Body) -> None:
    body["evidence"] = [one for one in body["evidence"] if one["kind"] != "evaluation"]


def revoked(body: Body) -> None:
    body["version"]["revoked_because"] = "it was wrong"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_files, "version:oncology/malignancy@1: manifest"),
        (other_files, "version:oncology/malignancy@1: files"),
        (other_manifest, "version:oncology/malignancy@1: manifest"),
        (other_manifest, "the approval as validator: version"),
        (other_data, "dataset:oncology/wdbc@1: provenance"),
        (other_data, "the approval as validator: datasets"),
        (other_raw_file, "dataset:oncology/wdbc@1: made from"),
        (another_name, "artifact:sha256:"),
        (other_zone, "dataset:oncology/wdbc@1: https://slsa.dev"),
        (no_signature, "version:oncology/malignancy@1: files"),
        (no_provenance, "features:oncology/cell-shape@1: provenance"),
        (a_changed_bundle, "https://khatim.dev/attestations/approval/v1"),
        (a_changed_bundle, "the approval as validator: signature"),
        (no_list, "revocations: the bundle cannot be read"),
        (better_numbers, "evidence: evaluation"),
        (another_approver, "the approval as validator: signature"),
        (another_role, "the approval as model-risk-approver: signature"),
        (another_binding, "the approval as validator: zone"),
        (no_evidence, "the approval as validator: evidence"),
        (revoked, "it was wrong"),
    ],
)
def test_whatever_is_changed_is_named(true: Body, change: Change, named: str) -> None:
    found = judged(changed(true, change)).faults
    faults = [f"{one.about}: {one.why}" for one in found]

    assert any(named in fault for fault in faults), faults
    assert all(one.advice for one in found), [one for one in found if not one.advice]


def test_an_approval_past_its_date_is_a_state_and_no_fault(true: Body) -> None:
    found = judged(true, at=datetime.now(UTC) + timedelta(days=400))

    assert found.faults == ()
    assert not any(one.counts for one in found.consents)
    assert all(one.is_expired for one in found.consents)


def test_another_instances_trusted_root_believes_nothing(true: Body, worlds: Worlds) -> None:
    other: Body = json.loads(json.dumps(true["trusted_root"]))
    for authority in other["certificateAuthorities"]:
        authority["uri"] = "https://ca.other.khatim"
    faults = judged(true, root=other).faults

    assert any("may not make statements" in one.why for one in faults)
    with pytest.raises(Misconfigured, match="names no certificate authority"):
        instance_of({})
    with pytest.raises(Misconfigured, match="not a Khatim instance"):
        instance_of({"certificateAuthorities": [{"uri": "https://fulcio.sigstore.dev"}]})


def test_a_pickle_that_somebody_registered_is_said_to_be_unsigned(sdk: Sdk) -> None:
    scientist = sdk.as_(SAMI)
    sdk.world.place("a pickle")
    file = ManifestFile(path="model.pkl", digest=digest("a pickle"), size=100)
    made = scientist.versions.register("oncology/notebook", zone="ae-health", files=[file], tags=["health.ae"])
    faults = judge(scientist.versions.dossier(made.ref), _root(sdk), at=datetime.now(UTC)).faults

    assert {one.about.partition(": ")[2] for one in faults} == {"provenance", "files"}


def test_a_judgement_is_shown_with_every_node_decision_and_fault(true: Body) -> None:
    page = io.StringIO()
    screen = Console(file=page, width=200, highlight=False)
    show_judgement(screen, judged(true), root="a file")
    good, _ = page.getvalue(), page.truncate(0)
    show_judgement(screen, judged(changed(true, other_raw_file)), root="a file")
    bad = page.getvalue()

    for words in ("artifact:sha256:", "provenance: training", "agent/ae-health/", "ae-health/same-emirate", "holds:"):
        assert words in good
    assert "holds:" not in bad
    assert "Make it again with a job of its zone" in bad


def test_a_circle_in_a_lineage_still_ends() -> None:
    def made(ref: str, *parents: str) -> proofs.Node:
        return proofs.Node(
            ref=ref, kind="dataset", digest="", zone="", made_from=[(one, "parent") for one in parents], statements=[]
        )

    nodes = [made("a", "b"), made("b", "c"), made("c", "b")]
    assert {one.ref for one in from_the_top(nodes)} == {"a", "b", "c"}
    assert from_the_top(nodes)[0].ref == "a"


def _root(sdk: Sdk) -> Body:
    return dict(sdk.world.parts.notary.trusted_root)
