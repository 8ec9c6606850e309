# SPDX-License-Identifier: Apache-2.0
"""What an agent does in its zone, one function a kind of job: bytes stay, digests and signed statements go out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.canonical import canonical
from khatim import contracts
from khatim.errors import OutsideAuthorisation, Unavailable
from khatim.vocabulary import Digest, FileRole
from khatim.wire import work
from khatim.wire.requests import ManifestFile
from policies.formats import Formats
from registry.signing import oms, predicates, statements
from registry.signing.predicates import Run
from registry.signing.signer import Signer
from runners.zone import arrow, evaluation, features, ingestion, scanning
from runners.zone.execution import JobStatus, RunJob
from runners.zone.recipe import (
    GRADIENT_BOOSTING,
    HOLDOUT_FILE,
    MODEL_FILE,
    RECORD_FILE,
    REFERENCE_FILE,
    TrainingSpec,
    code_digest,
)
from runners.zone.store import ZoneStore

PARQUET = "application/vnd.apache.parquet"
MAX_BLOB = 4 << 30


@dataclass(frozen=True)
class Zone:
    """What an agent's work needs: its store, its pen, the rules about formats, where training runs, scratch."""

    name: str
    agent: str
    store: ZoneStore
    signer: Signer
    formats: Formats
    run_job: RunJob
    scratch: Path
    clock: Callable[[], datetime]

    def keep(self, data: bytes, media_type: str) -> work.Placed:
        """Put bytes into the store; they are durable and encrypted when this returns."""
        blob = self.store.put([data], max_size=MAX_BLOB)
        return work.Placed(digest=str(blob.digest), size=blob.size, media_type=media_type)

    def read(self, digest: str) -> bytes:
        """Read a blob, verified against its digest."""
        return self.store.read(Digest.parse(digest), max_size=MAX_BLOB)

    def attest(self, kind: str, subjects: list[tuple[str, str]], predicate: Mapping[str, Any]) -> str:
        """Sign a statement about *subjects* (name, digest) as this agent."""
        named = [(name, Digest.parse(digest)) for name, digest in subjects]
        return self.signer.sign(statements.statement(named, kind, predicate))

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """Lend a private folder for plain files; it is gone afterwards, whatever happened."""
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            yield Path(folder)


def ingest(zone: Zone, job: work.Work, _: Callable[[], bool]) -> work.Outcome:
    """CSV to Parquet under a contract; bad rows into quarantine with their reasons."""
    began = zone.clock()
    contract = contracts.contract_of(job.spec["contract"])
    with zone.store.stream(Digest.parse(job.spec["source"])) as file:
        made = ingestion.ingest(file, contract)
    made.require_few(contract)
    data = zone.keep(arrow.to_parquet(made.accepted), PARQUET)
    bad = zone.keep(arrow.to_parquet(made.quarantined), PARQUET) if made.report["quarantined"] else None
    contract_digest = Digest.of(canonical(job.spec["contract"]))
    predicate = predicates.provenance(
        statements.DATASET_SNAPSHOT,
        {"name": f"{job.spec['namespace']}/{job.spec['name']}", "contract": str(contract_digest)},
        [predicates.descriptor("source.csv", Digest.parse(job.spec["source"]))],
        _run(zone, job, began),
        [predicates.descriptor("quarantine.parquet", Digest.parse(bad.digest))] if bad else [],
    )
    statement = _slsa(zone, [("data.parquet", data.digest)], predicate)
    return work.Ingested(data=data, quarantine=bad, report=made.report, statement=statement)


def materialise(zone: Zone, job: work.Work, _: Callable[[], bool]) -> work.Outcome:
    """Parquet to a feature view with exactly the promised Arrow schema."""
    began = zone.clock()
    spec = contracts.feature_view_of(job.spec["view"])
    table = features.materialise(arrow.from_parquet(zone.read(job.spec["source"])), spec)
    data = zone.keep(arrow.to_parquet(table), PARQUET)
    predicate = predicates.provenance(
        statements.FEATURE_MATERIALIZATION,
        {"name": job.spec["name"], "view": str(Digest.of(canonical(job.spec["view"])))},
        [predicates.descriptor(job.spec["dataset"], Digest.parse(job.spec["source"]))],
        _run(zone, job, began),
    )
    return work.Materialised(
        data=data,
        arrow_schema=arrow.schema_json(table.schema),
        schema_digest=str(arrow.schema_fingerprint(table.schema)),
        rows=table.num_rows,
        statement=_slsa(zone, [("features.parquet", data.digest)], predicate),
    )


def train(zone: Zone, job: work.Work, alive: Callable[[], bool]) -> work.Outcome:
    """Train in a cluster that lives only for this job, prove the export, sign what came out."""
    began = zone.clock()
    if job.spec["code_digest"] != str(code_digest()):
        raise OutsideAuthorisation(
            f"the training code here is {code_digest()}, not the authorised {job.spec['code_digest']}",
            rule="training/code",
        )
    with zone.workdir() as folder:
        source = folder / "features.parquet"
        source.write_bytes(zone.read(job.spec["features_digest"]))
        out = folder / "out"
        spec = TrainingSpec(
            recipe=GRADIENT_BOOSTING,
            features=str(source),
            entity_key=job.spec["view"]["entity"],
            label=job.spec["view"]["label"],
            out=str(out),
            seed=job.spec["seed"],
            holdout_share=job.spec["holdout_share"],
            params=job.spec["parameters"],
            code_digest=job.spec["code_digest"],
        )
        path = folder / "spec.json"
        path.write_text(spec.to_json())
        ended = zone.run_job(
            f"{job.id}-{job.fence}", "runners.zone.trainer", path, folder, cpus=2, timeout_s=1800, heartbeat=alive
        )
        if ended.status is not JobStatus.SUCCEEDED:
            raise Unavailable(f"the training {ended.status.value}: {ended.logs[-1500:]}")
        record = json.loads((out / RECORD_FILE).read_text())
        model = zone.keep((out / MODEL_FILE).read_bytes(), "application/onnx")
        written = zone.keep((out / RECORD_FILE).read_bytes(), "application/json")
        holdout = zone.keep((out / HOLDOUT_FILE).read_bytes(), PARQUET)
        reference = zone.keep((out / REFERENCE_FILE).read_bytes(), PARQUET)
    files = [
        ManifestFile(path=MODEL_FILE, digest=model.digest, size=model.size, role=FileRole.WEIGHTS),
        ManifestFile(path=RECORD_FILE, digest=written.digest, size=written.size, role=FileRole.CONFIG),
    ]
    training = {
        "recipe": record["recipe"],
        "params": record["params"],
        "seed": record["seed"],
        "features": record["feature_order"],
        "label": record["label"],
        "split": record["split"],
        "metrics": record["training_metrics"],
        "libraries": record["libraries"],
        "ran_on": record["ran_on"],
        "code_digest": record["code_digest"],
        "holdout": holdout.digest,
        "reference": reference.digest,
    }
    predicate = predicates.provenance(
        statements.TRAINING,
        {"authorisation": job.spec["authorisation"], "purpose": job.spec["purpose"], "parameters": record["params"]},
        [
            predicates.descriptor(job.spec["features"], Digest.parse(job.spec["features_digest"])),
            predicates.descriptor(job.spec["dataset"], Digest.parse(job.spec["dataset_digest"])),
            predicates.descriptor("training-code", Digest.parse(record["code_digest"])),
        ],
        _run(zone, job, began),
        [
            predicates.descriptor(HOLDOUT_FILE, Digest.parse(holdout.digest)),
            predicates.descriptor(REFERENCE_FILE, Digest.parse(reference.digest)),
        ],
    )
    named = [(file.path, Digest.parse(file.digest)) for file in files]
    return work.Trained(
        files=files,
        placed=[model, written, holdout, reference],
        training=training,
        provenance=_slsa(zone, [(file.path, file.digest) for file in files], predicate),
        model_signature=zone.signer.sign(oms.oms_statement(f"{job.spec['namespace']}-{job.spec['name']}", named)),
    )


def scan(zone: Zone, job: work.Work, _: Callable[[], bool]) -> work.Outcome:
    """Scan every file of a version in a sandbox; nothing of it is loaded."""
    reports = [
        scanning.scan_in_sandbox(
            file["path"],
            _opener(zone, file["digest"]),
            zone.formats,
            role=FileRole(file["role"]),
        )
        for file in job.spec["files"]
    ]
    files = [
        {
            "path": report.path,
            "format": report.format,
            "verdict": report.use,
            "passed": report.verdict == "passed",
            "reason": "; ".join(finding.message for finding in report.findings),
            "scanner": report.scanner,
            "advice": report.advice,
            "findings": [finding.code for finding in report.findings],
        }
        for report in reports
    ]
    names = [f"scan {file['path']}" for file in files]
    predicate = predicates.outcome(
        [predicates.descriptor("scan.json", Digest.of(canonical(files)))],
        passed=[name for name, file in zip(names, files, strict=True) if file["passed"]],
        failed=[name for name, file in zip(names, files, strict=True) if not file["passed"]],
    )
    subjects = [(file["path"], file["digest"]) for file in job.spec["files"]]
    statement = zone.attest(statements.TEST_RESULT, subjects, predicate)
    return work.Scanned(passed=all(file["passed"] for file in files), files=files, statement=statement)


def evaluate(zone: Zone, job: work.Work, _: Callable[[], bool]) -> work.Outcome:
    """Evaluate a version on the held-out data of its training."""
    with zone.workdir() as folder:
        model = folder / MODEL_FILE
        model.write_bytes(zone.read(job.spec["model"]))
        found = evaluation.evaluate(
            model,
            arrow.from_parquet(zone.read(job.spec["holdout"])),
            job.spec["label"],
            subgroups=job.spec["subgroups"],
            thresholds=job.spec["thresholds"],
            seed=job.spec["seed"],
            feature_order=job.spec["features"],
        )
    predicate = found.as_predicate()
    predicate["configuration"].append(predicates.descriptor(HOLDOUT_FILE, Digest.parse(job.spec["holdout"])))
    statement = zone.attest(statements.TEST_RESULT, [(MODEL_FILE, job.spec["model"])], predicate)
    return work.Evaluated(evaluation=predicate, statement=statement)


def _opener(zone: Zone, digest: str) -> Callable[[], Any]:
    return lambda: zone.store.stream(Digest.parse(digest))


def _run(zone: Zone, job: work.Work, began: datetime) -> Run:
    return Run(builder=zone.agent, invocation=f"{job.id}-{job.fence}", started=began, finished=zone.clock())


def _slsa(zone: Zone, subjects: list[tuple[str, str]], predicate: Mapping[str, Any]) -> str:
    return zone.attest(statements.SLSA_PROVENANCE, subjects, predicate)
