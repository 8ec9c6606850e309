# SPDX-License-Identifier: Apache-2.0
"""Steps 1 to 6: the house is opened, an agent enrols, data becomes features, features become a model version."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from khatim.calls.jobs import made_by
from khatim.cli.output import joined, short
from khatim.cli.story import processes, sample
from khatim.cli.story.people import ENGINEER, PLATFORM, PRIVACY, SCIENTIST, VALIDATOR
from khatim.cli.story.world import World
from khatim.errors import FormatRefused, OutsideAuthorisation, Unavailable, VerificationFailed
from khatim.vocabulary import Stage, VersionStatus

SUBGROUPS = {
    "smaller nuclei": {"column": "mean_radius", "quantile": [0.0, 0.5]},
    "larger nuclei": {"column": "mean_radius", "quantile": [0.5, 1.0]},
}
THRESHOLDS = {"roc_auc": {"min": 0.95, "interval": True}, "sensitivity": {"min": 0.85}}
AGENT_S = 60.0


def open_house(world: World, server: processes.Process) -> None:
    """Step 1: database, schema, trust root, ledger and server on an empty folder."""
    with world.moment(1, PLATFORM, "khatim up: database, trust root, ledger, server", "ae-onshore") as now:
        began = time.monotonic()
        world.url = processes.await_server(server, world.data)
        world.sign_in()
        who = world.as_(PLATFORM).whoami()
        now.result = f"{world.url} answers after {time.monotonic() - began:.1f} s; {who.display_name} is {who.ref}"


def enrol(world: World) -> None:
    """Step 2: an agent redeems a one-time token and is bound to its zone."""
    client = world.as_(PLATFORM)
    with world.moment(2, PLATFORM, "an agent enrols with a one-time token", sample.ZONE) as now:
        invitation = client.agents.invite(sample.ZONE)
        world.agent = processes.start_agent(
            world.scratch / "agent", world.scratch, url=world.url, token=invitation.token
        )
        until = time.monotonic() + AGENT_S
        while not (seen := [one for one in client.agents.list() if one.seen_at]):
            world.agent.require_alive()
            if time.monotonic() > until:
                raise Unavailable(f"the agent was not heard of in {AGENT_S:g} s: {world.agent.tail()}")
            time.sleep(0.05)
        now.result = f"agent {seen[0].id} of {seen[0].zone}; its zone door is {seen[0].door}"


def ingest(world: World) -> None:
    """Step 3: the raw file goes through the zone door and is checked against its contract."""
    client = world.as_(ENGINEER)
    world.raw = world.scratch / "wdbc.csv"
    rows = sample.write(world.raw)
    with world.moment(3, ENGINEER, "brings the raw file through the zone door", sample.ZONE) as now:
        stored = client.artifacts.upload(world.raw, zone=sample.ZONE, tags=sample.TAGS, media_type="text/csv")
        now.result = f"{rows} rows, {stored.size} bytes, {short(stored.digest)}"
    with world.moment(3, ENGINEER, "ingests it against the data contract", sample.ZONE) as now:
        job = client.datasets.ingest(sample.DATASET, zone=sample.ZONE, source=stored.digest, contract=sample.contract())
        world.dataset = made_by(client.jobs.wait(job))
        report = client.datasets.get(world.dataset).report
        if report["quarantined"] != sample.BAD_ROWS:
            raise VerificationFailed(f"{report['quarantined']} rows are in quarantine, not {sample.BAD_ROWS}")
        reasons = "; ".join(report["reasons"])
        now.result = f"{world.dataset}: {report['accepted']} rows, {report['quarantined']} in quarantine ({reasons})"


def materialise(world: World) -> None:
    """Step 4: a feature view with an Arrow schema."""
    client = world.as_(ENGINEER)
    with world.moment(4, ENGINEER, "materialises the feature view", sample.ZONE) as now:
        job = client.features.materialise(sample.VIEW, dataset=world.dataset, spec=sample.view())
        world.features = made_by(client.jobs.wait(job))
        made = client.features.get(world.features)
        now.result = f"{made.ref}: {made.rows} rows, {len(made.arrow_schema)} columns, {short(made.digest)}"


def authorise(world: World) -> None:
    """Step 5, first part: a standing authorisation, approved by another person, and a run outside it."""
    from runners.zone.recipe import code_digest

    code = str(code_digest())
    scientist = world.as_(SCIENTIST)
    with world.moment(5, SCIENTIST, "asks for a standing training authorisation", sample.ZONE) as now:
        asked = scientist.authorisations.request(
            sample.NAMESPACE,
            datasets=[world.dataset],
            purpose=sample.PURPOSE,
            code_digest=code,
            zone=sample.ZONE,
            budget_runs=3,
            ends_at=datetime.now(UTC) + timedelta(days=90),
        )
        world.authorisation = asked.id
        now.result = f"{joined(asked.datasets)} for {asked.purpose!r}, code {short(code)}, 3 runs, 90 days"
    with world.moment(5, PRIVACY, "approves the authorisation", sample.ZONE):
        world.as_(PRIVACY).authorisations.approve(asked.id, because="the purpose is the one patients were told of")
    with world.moment(5, SCIENTIST, "starts a run for another purpose", sample.ZONE) as now:
        world.refused(
            now,
            OutsideAuthorisation,
            lambda: scientist.trainings.start(
                sample.MODEL,
                authorisation=asked.id,
                features=world.features,
                purpose="prices of health insurance",
                code_digest=code,
            ),
        )
    with world.moment(5, SCIENTIST, "trains on Ray, inside the authorisation", sample.ZONE) as now:
        job = scientist.trainings.start(
            sample.MODEL,
            authorisation=asked.id,
            features=world.features,
            purpose=sample.PURPOSE,
            code_digest=code,
            holdout_share=sample.HOLDOUT_SHARE,
            seed=sample.SEED,
        )
        world.version = made_by(scientist.jobs.wait(job))
        made = scientist.versions.get(world.version)
        split = made.training["split"]
        now.result = (
            f"{made.ref} of {made.training['recipe']}, {split['trained']} patients learnt from, "
            f"{split['held_out']} held out; ran on {made.training['ran_on']}; {short(made.digest)}"
        )


def scan(world: World) -> None:
    """Step 5, second part: a version is ready when its files are scanned; a pickle is kept and never loaded."""
    from khatim.cli.story import yardstick

    client = world.as_(SCIENTIST)
    with world.moment(5, SCIENTIST, "waits until the files are scanned", sample.ZONE) as now:
        version = client.versions.wait(world.version)
        if version.status != VersionStatus.READY.value:
            raise VerificationFailed(f"{version.ref} is {version.status}: {version.status_message}")
        now.result = f"{version.status}: {joined([file['path'] for file in version.files])}"
    with world.moment(5, SCIENTIST, "registers a pickle from a notebook", sample.ZONE) as now:
        world.yardstick = yardstick.train(world.raw)
        pickled = world.yardstick.pickled(world.scratch / "model.pkl")
        stored = client.artifacts.upload(pickled, zone=sample.ZONE, tags=sample.TAGS)
        kept = client.versions.register(
            sample.NOTEBOOK, zone=sample.ZONE, files=[stored.as_file()], parents=[world.features], tags=sample.TAGS
        )
        kept = client.versions.wait(kept.ref)
        now.result = f"{kept.ref} {kept.status}; {kept.files[0]['path']} is {kept.files[0]['verdict']}: never loaded"
    with world.moment(5, SCIENTIST, "asks to promote the pickle", sample.ZONE) as now:
        world.refused(
            now,
            FormatRefused,
            lambda: client.versions.promote(kept.ref, to=Stage.PRODUCTION, because="it works on my machine"),
        )


def evaluate(world: World) -> None:
    """Step 6: a signed test result on held-out data."""
    client = world.as_(VALIDATOR)
    with world.moment(6, VALIDATOR, "evaluates on held-out patients", sample.ZONE) as now:
        client.jobs.wait(client.versions.evaluate(world.version, thresholds=THRESHOLDS, subgroups=SUBGROUPS))
        found = [one for one in client.versions.evidence(world.version) if one.kind == "evaluation"][-1]
        auc = found.details["metrics"]["roc_auc"]
        groups = ", ".join(
            f"{name} {part['metrics']['roc_auc']['value']:.3f}" for name, part in found.details["subgroups"].items()
        )
        now.result = (
            f"{found.result}: area under the ROC curve {auc['value']:.3f} "
            f"(95 % interval {auc['low']:.3f} to {auc['high']:.3f}); {groups}"
        )
