# SPDX-License-Identifier: Apache-2.0
"""Steps 7 to 10: approval by other people, an endpoint that equals scikit-learn, borders, and drift."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from khatim.calls.connection import raise_for_problem
from khatim.cli.output import joined, short
from khatim.cli.story import sample
from khatim.cli.story.people import AUDITOR, PLATFORM, PRIVACY, RISK, SCIENTIST, VALIDATOR, Person
from khatim.cli.story.world import World
from khatim.errors import (
    GateNotSatisfied,
    ResidencyRefused,
    SeparationOfDuties,
    Suspended,
    Unavailable,
    VerificationFailed,
)
from khatim.vocabulary import Role, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from khatim.wire import answers, findings

ABROAD = "ext-de"
PARITY = 1e-5
SUSPENDED_WITHIN_S = 5.0
WATCHED_S = 15.0
MEANINGS: tuple[tuple[Person, Role, str], ...] = (
    (VALIDATOR, Role.VALIDATOR, "I have challenged the model independently; the evidence supports its use"),
    (PRIVACY, Role.PRIVACY_OFFICER, "The data may be used for this purpose in this zone"),
    (RISK, Role.MODEL_RISK_APPROVER, "The residual risk is accepted for triage with a physician's review"),
)


def approve(world: World) -> None:
    """Step 7: refused while approvals are missing, refused to the author, then approved by three people."""
    scientist = world.as_(SCIENTIST)
    with world.moment(7, SCIENTIST, "asks for promotion to production", sample.ZONE) as now:
        world.refused(
            now,
            GateNotSatisfied,
            lambda: scientist.versions.promote(world.version, to=Stage.PRODUCTION, because="the evaluation passed"),
        )
    with world.moment(7, SCIENTIST, "approves her own version as a validator", sample.ZONE) as now:
        world.refused(
            now,
            SeparationOfDuties,
            lambda: scientist.versions.approve(world.version, role=Role.VALIDATOR, meaning="I trust my own work"),
        )
    for person, role, meaning in MEANINGS:
        with world.moment(7, person, "approves", sample.ZONE) as now:
            given = world.as_(person).versions.approve(world.version, role=role, meaning=meaning)
            bound = given.binding
            now.result = (
                f"bound to model {short(bound['version'])}, data {joined([short(one) for one in bound['datasets']])}, "
                f"evidence {joined([short(one) for one in bound['evidence']])}, policy {short(bound['policy'])}, "
                f"{bound['zone']}, until {given.expires_at:%Y-%m-%d}"
            )
    with world.moment(7, SCIENTIST, "promotes to production", sample.ZONE) as now:
        version = scientist.versions.promote(
            world.version, to=Stage.PRODUCTION, because="evaluated, and approved by three people"
        )
        now.result = f"{version.ref} stands in {version.stage}"


def deploy(world: World) -> None:
    """Step 8: the agent verifies everything again and serves; predictions equal scikit-learn's."""
    client = world.as_(PLATFORM)
    with world.moment(8, PLATFORM, "deploys; the agent verifies before it serves", sample.ZONE) as now:
        asked = client.deployments.request(world.version, zone=sample.ZONE)
        world.deployment = client.deployments.wait(asked.id)
        now.result = f"{world.deployment.state} at {world.deployment.endpoint}"
    with world.moment(8, SCIENTIST, "compares every held-out patient with scikit-learn", sample.ZONE) as now:
        yardstick = _yardstick(world)
        worst = yardstick.worst_difference(predictions(world.deployment.endpoint, yardstick.rows))
        if not worst <= PARITY:
            raise VerificationFailed(f"a prediction differs from scikit-learn's by {worst:g}, more than {PARITY:g}")
        now.result = f"{len(yardstick.rows)} predictions over HTTP, largest difference {worst:.1e} (at most {PARITY:g})"


def stay_home(world: World) -> None:
    """Step 9: what may not leave the State does not."""
    with world.moment(9, PLATFORM, f"asks to deploy to {ABROAD}", ABROAD) as now:
        world.refused(
            now,
            ResidencyRefused,
            lambda: world.as_(PLATFORM).deployments.request(world.version, zone=ABROAD),
        )
    with world.moment(9, SCIENTIST, f"asks to download the model from {ABROAD}", ABROAD) as now:
        scientist = world.as_(SCIENTIST)
        weights = scientist.versions.get(world.version).files[0]["digest"]
        world.refused(
            now,
            ResidencyRefused,
            lambda: scientist.artifacts.download(
                weights, world.scratch / "abroad.onnx", zone=sample.ZONE, to_zone=ABROAD
            ),
        )


def drift(world: World) -> None:
    """Step 10: a shifted sample, a monitor, a finding, and an endpoint that stops answering."""
    deployment, client = _deployment(world), world.as_(PLATFORM)
    with world.moment(10, SCIENTIST, "a wrongly calibrated microscope sends its patients", sample.ZONE) as now:
        shifted = _yardstick(world).shifted()
        predictions(deployment.endpoint, shifted)
        now.result = f"{len(shifted)} rows flowed through the endpoint; what was captured stays in the zone"
    with world.moment(10, PLATFORM, "runs the monitor", sample.ZONE) as now:
        client.jobs.wait(client.monitors.run(deployment.id))
        finding = next((one for one in client.findings.list() if str(deployment.id) in one.about), None)
        if finding is None:
            raise VerificationFailed("the monitor found no drift in a shifted sample")
        ran = next(iter(world.as_(AUDITOR).ledger.list(kind="monitor.ran", page=1)))
        engines = joined(ran.body["payload"]["engines"])
        now.result = f"finding {finding.number} ({engines}): {finding.summary}; policy says {finding.consequence}"
    with world.moment(10, SCIENTIST, "asks the endpoint once more", sample.ZONE) as now:
        error, waited = _suspension(deployment.endpoint, finding, _yardstick(world).rows[:1])
        now.is_refusal = True
        now.result = f"423, {waited:.1f} s after the finding: {error.detail}"


def predictions(endpoint: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the endpoint's probabilities of cancer, one a row, over the Open Inference Protocol v2."""
    import httpx
    import numpy as np

    with httpx.Client(timeout=30) as http:
        about = http.get(endpoint)
        raise_for_problem(about)
        given = {
            "name": about.json()["inputs"][0]["name"],
            "datatype": "FP32",
            "shape": list(rows.shape),
            "data": [float(value) for value in rows.ravel()],
        }
        answer = http.post(f"{endpoint}/infer", content=json.dumps({"inputs": [given]}))
        raise_for_problem(answer)
        output: dict[str, Any] = next(one for one in answer.json()["outputs"] if one["shape"] == [len(rows), 2])
    return np.asarray(output["data"], dtype=np.float64).reshape(len(rows), 2)[:, 1]


def _suspension(endpoint: str, finding: findings.Finding, rows: NDArray[np.float32]) -> tuple[Suspended, float]:
    """Return what the endpoint says once it is suspended, and how many seconds after the finding that was."""
    until = time.monotonic() + WATCHED_S
    while time.monotonic() < until:
        try:
            predictions(endpoint, rows)
        except Suspended as error:
            waited = (datetime.now(UTC) - finding.opened_at).total_seconds()
            if str(finding.id) not in error.detail:
                raise VerificationFailed(f"the endpoint does not name the finding: {error.detail}") from error
            if waited > SUSPENDED_WITHIN_S:
                raise VerificationFailed(f"the endpoint answered for {waited:.1f} s after the finding") from error
            return error, waited
        time.sleep(0.05)
    raise Unavailable(f"the endpoint still answers {WATCHED_S:g} s after the finding")


def _yardstick(world: World) -> Any:
    if world.yardstick is None:
        raise VerificationFailed("scikit-learn has not been asked yet")
    return world.yardstick


def _deployment(world: World) -> answers.Deployment:
    if world.deployment is None:
        raise VerificationFailed("nothing is deployed yet")
    return world.deployment
