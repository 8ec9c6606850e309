# SPDX-License-Identifier: Apache-2.0
"""Taking in what agents bring: verify every signature, place the digests, register what was made, close the job.

All in the agent's one transaction, under the job's fence: a stale agent's result never lands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from audit.transaction import Transaction
from governance import deployments, evaluations, lifecycle, monitors
from governance.tables import Job
from khatim import contracts
from khatim.errors import Malformed
from khatim.vocabulary import Digest, Resource
from khatim.wire import work as wire
from policies.loading import PolicyBundle
from registry import artifacts, datasets, manifests, queries, versions
from registry.notary import Notary
from registry.signing import oms, statements
from registry.tables import DatasetVersion, FeatureViewVersion
from runners import claims, jobs


def complete(tx: Transaction, name: str, body: wire.Complete, *, notary: Notary, rules: PolicyBundle) -> Job:
    """Complete a held job with its outcome; when this raises `StaleFence` or `SignatureInvalid`, nothing is kept."""
    job = jobs.held(tx, name, body.fence)
    if body.outcome.kind != job.kind:
        raise Malformed(f"a {job.kind} job cannot end with the outcome of a {body.outcome.kind} job")
    match body.outcome:
        case wire.Ingested() as outcome:
            made = _ingested(tx, job, outcome, notary)
        case wire.Materialised() as outcome:
            made = _materialised(tx, job, outcome, notary)
        case wire.Trained() as outcome:
            made = _trained(tx, job, outcome, notary, rules)
        case wire.Scanned() as outcome:
            verified = notary.check(
                outcome.statement,
                statements.TEST_RESULT,
                [Digest.parse(file["digest"]) for file in job.spec["files"]],
                zone=job.zone,
            )
            claims.require_configuration(verified, outcome.files)
            made = evaluations.submit_scan(tx, job, outcome, verified, notary=notary)
        case wire.Evaluated() as outcome:
            made = evaluations.submit(tx, job, outcome, notary=notary)
        case wire.Deployed() as outcome:
            made = deployments.started(tx, job, outcome, notary=notary)
        case wire.Monitored() as outcome:
            made = monitors.submit(tx, job, outcome, rules=rules)
        case _:
            assert_never(body.outcome)
    return jobs.end(tx, job, outcome=made)


def place_blob(tx: Transaction, placed: wire.Placed, *, zone: str, tags: Sequence[str], basis: str) -> None:
    """Note that the acting agent's store holds a blob."""
    artifacts.place(
        tx, placed.digest, zone=zone, size=placed.size, media_type=placed.media_type, tags=tags, basis=basis
    )


def _ingested(tx: Transaction, job: Job, outcome: wire.Ingested, notary: Notary) -> str:
    tags = [str(tag) for tag in job.spec.get("tags") or contracts.contract_of(job.spec["contract"]).all_tags]
    verified = notary.check(
        outcome.statement, statements.DATASET_SNAPSHOT, [Digest.parse(outcome.data.digest)], zone=job.zone
    )
    claims.require_made_from(verified, [job.spec["source"]])
    claims.require_byproducts(verified, [outcome.quarantine.digest] if outcome.quarantine else [])
    for placed in filter(None, (outcome.data, outcome.quarantine)):
        place_blob(tx, placed, zone=job.zone, tags=tags, basis=job.ref)
    number = datasets.next_dataset(tx, job.namespace, job.spec["name"])
    ref = str(Resource("dataset", f"{job.spec['name']}@{number}", job.namespace))
    statement = notary.admit(tx, ref, outcome.statement, verified)
    row = datasets.register(
        tx,
        job.namespace,
        job.spec["name"],
        datasets.Snapshot(
            digest=outcome.data.digest,
            source_digest=job.spec["source"],
            quarantine_digest=outcome.quarantine.digest if outcome.quarantine else None,
            contract=job.spec["contract"],
            report=outcome.report,
            tags=tags,
        ),
        zone=job.zone,
        by=job.requested_by,
        statement_id=str(statement.id),
    )
    return row.ref


def _materialised(tx: Transaction, job: Job, outcome: wire.Materialised, notary: Notary) -> str:
    dataset = queries.numbered(tx, DatasetVersion, job.spec["dataset"])
    verified = notary.check(
        outcome.statement, statements.FEATURE_MATERIALIZATION, [Digest.parse(outcome.data.digest)], zone=job.zone
    )
    claims.require_made_from(verified, [job.spec["source"]])
    place_blob(tx, outcome.data, zone=job.zone, tags=dataset.tags, basis=job.ref)
    row = datasets.register_features(
        tx,
        dataset,
        job.spec["name"],
        datasets.Materialisation(
            digest=outcome.data.digest,
            spec=job.spec["view"],
            arrow_schema=outcome.arrow_schema,
            schema_digest=outcome.schema_digest,
            rows=outcome.rows,
        ),
        by=job.requested_by,
        statement_id="",
    )
    notary.admit(tx, row.ref, outcome.statement, verified)
    return row.ref


def _trained(tx: Transaction, job: Job, outcome: wire.Trained, notary: Notary, rules: PolicyBundle) -> str:
    view = queries.numbered(tx, FeatureViewVersion, job.spec["features"])
    files = [Digest.parse(file.digest) for file in outcome.files]
    provenance = notary.check(outcome.provenance, statements.TRAINING, files, zone=job.zone)
    claims.require_made_from(
        provenance, [job.spec["features_digest"], job.spec["dataset_digest"], job.spec["code_digest"]]
    )
    claims.require_byproducts(provenance, [outcome.training["holdout"], outcome.training["reference"]])
    named = [(file.path, Digest.parse(file.digest)) for file in outcome.files]
    signature = notary.check(outcome.model_signature, statements.OMS_SIGNATURE, [oms.root_digest(named)], zone=job.zone)
    oms.check_files(signature.parsed, named)
    for placed in outcome.placed:
        place_blob(tx, placed, zone=job.zone, tags=view.tags, basis=job.ref)
    manifest = manifests.manifest_of(
        {**file.model_dump(mode="json"), "format": rules.formats.by_name(file.path, file.role).format}
        for file in outcome.files
    )
    row = versions.register(
        tx,
        job.spec["namespace"],
        job.spec["name"],
        manifest,
        zone=job.zone,
        tags=view.tags,
        parents=[(view.ref, "features"), (view.dataset_ref, "dataset")],
        by=job.requested_by,
        training={**outcome.training, "authorisation": job.spec["authorisation"], "job": str(job.id)},
    )
    notary.admit(tx, row.ref, outcome.provenance, provenance)
    notary.admit(tx, row.ref, outcome.model_signature, signature)
    lifecycle.request_scan(tx, row, by=job.requested_by)
    return row.ref
