# SPDX-License-Identifier: Apache-2.0
"""An agent played by hand: it claims, signs and completes over the public routes, and makes up the bytes.

The zone side has its own tests with real data and real models; here only what the registry makes of it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.canonical import canonical
from khatim.vocabulary import Digest, JobKind
from registry.notary import Notary
from registry.signing import oms, possession, predicates, statements
from registry.signing.predicates import Run
from registry.signing.signer import RemoteSigner
from tests.support.http import Api, good

Json = dict[str, Any]
FEATURES = ["mean_radius", "mean_texture"]
MEASURED = {"value": 0.99, "low": 0.97, "high": 0.999}
DRIFTED = ["mean_radius"]


def digest(*words: object) -> str:
    """Return the digest of made-up bytes."""
    return str(Digest.of(":".join(map(str, words)).encode()))


def blob(*words: object, size: int = 100) -> Json:
    """Return the report that the zone's store holds made-up bytes."""
    return {"digest": digest(*words), "size": size, "media_type": "application/octet-stream"}


def file(path: str, *words: object, role: str = "weights", size: int = 100) -> Json:
    """Return one file of a manifest."""
    return {"path": path, "digest": digest(*words), "size": size, "role": role}


def key_of(ref: str) -> Ed25519PrivateKey:
    """Return the own key of the agent *ref*: made up from its name, so that a copied world knows it, too."""
    return Ed25519PrivateKey.from_private_bytes(sha256(ref.encode()).digest())


class HandAgent:
    """One enrolled agent of one zone."""

    def __init__(
        self,
        api: Api,
        notary: Notary,
        ref: str,
        zone: str,
        clock: Callable[[], datetime],
        key: Ed25519PrivateKey,
    ) -> None:
        """Act as the agent *ref*, through *api*, with the notary's pen in its name; it enrolled with *key*."""
        self.key = key
        self.api = api
        self.ref = ref
        self.zone = zone
        self._notary = notary
        self._clock = clock

    # -- the routes of agents --

    def claim(self) -> Json | None:
        """Claim the next job of the zone."""
        job: Json | None = good(self.api.post("/v1/agent/jobs/claim"))
        return job

    def claim_a(self, kind: JobKind) -> Json:
        """Claim the next job, which must be of *kind*."""
        job = self.claim()
        assert job is not None, f"no {kind.value} job waits"
        assert job["kind"] == kind.value
        return job

    def complete(self, job: Json, outcome: Json | None = None, *, fence: int | None = None) -> httpx.Response:
        """Bring the outcome of a job, by default a good one."""
        body = {"fence": job["fence"] if fence is None else fence, "outcome": outcome or self.outcome_of(job)}
        return self.api.post(f"/v1/agent/jobs/{job['id']}/completion", body)

    def fail(self, job: Json, error: str = "it did not work", *, retry: bool = False) -> httpx.Response:
        """Say that a job could not be done."""
        body = {"fence": job["fence"], "error": error, "retry": retry}
        return self.api.post(f"/v1/agent/jobs/{job['id']}/failure", body)

    def heartbeat(self, job: Json) -> httpx.Response:
        """Renew the lease."""
        return self.api.post(f"/v1/agent/jobs/{job['id']}/heartbeat", {"fence": job["fence"]})

    def do(self, kind: JobKind, **changes: Any) -> Json:
        """Claim the next job, which must be of *kind*, and complete it; *changes* replace parts of the outcome."""
        job = self.claim_a(kind)
        ended: Json = good(self.complete(job, {**self.outcome_of(job), **changes}))
        return ended

    def report(self, ticket: Json, *, size: int = 100) -> httpx.Response:
        """Report a blob that came through the door under *ticket*."""
        body = {"digest": ticket["digest"], "size": size, "ticket": ticket["token"]}
        return self.api.post("/v1/agent/artifacts", body)

    # -- the pen --

    def remote(self, http: httpx.Client) -> RemoteSigner:
        """Return the signer that a real agent has: it asks over HTTP, and proves with its own key."""

        def prove(csr: bytes, token: str) -> str:
            return possession.prove_request(self.key, csr, token, self._notary.issuer, self._clock())

        return RemoteSigner(http, self.api.bearer, prove=prove)

    def sign(self, statement: bytes) -> str:
        """Sign a statement in this agent's name."""
        name = self._notary.agent(self.zone, self.ref.removeprefix("agent:"))
        return self._notary.signer_for(name).sign(statement)

    def attest(self, kind: str, subjects: Sequence[tuple[str, str]], predicate: Mapping[str, Any]) -> str:
        """Sign a claim about *subjects* (name, digest)."""
        named = [(name, Digest.parse(one)) for name, one in subjects]
        return self.sign(statements.statement(named, kind, predicate))

    def provenance(
        self, build_type: str, job: Json, subjects: Sequence[tuple[str, str]], byproducts: Sequence[str] = ()
    ) -> str:
        """Sign where *subjects* come from: what the job's specification names."""
        named = ("source", "features_digest", "dataset_digest", "code_digest")
        parents = [predicates.descriptor(key, Digest.parse(job["spec"][key])) for key in named if key in job["spec"]]
        beside = [predicates.descriptor("byproduct", Digest.parse(one)) for one in byproducts]
        now = self._clock()
        run = Run(builder=self.ref, invocation=f"{job['id']}-{job['fence']}", started=now, finished=now)
        return self.attest(
            statements.SLSA_PROVENANCE, subjects, predicates.provenance(build_type, {}, parents, run, beside)
        )

    # -- outcomes --

    def outcome_of(self, job: Json) -> Json:
        """Return the outcome of a job that went well."""
        makers: dict[str, Callable[[Json], Json]] = {
            JobKind.INGEST: self.ingested,
            JobKind.MATERIALISE: self.materialised,
            JobKind.TRAIN: self.trained,
            JobKind.SCAN: self.scanned,
            JobKind.EVALUATE: self.evaluated,
            JobKind.DEPLOY: self.deployed,
            JobKind.MONITOR: self.monitored,
        }
        return {"kind": job["kind"], **makers[job["kind"]](job)}

    def ingested(self, job: Json) -> Json:
        """Return the outcome of an ingest with one bad row."""
        data, bad = blob(job["id"], "data"), blob(job["id"], "quarantine")
        subjects = [("data.parquet", data["digest"])]
        return {
            "data": data,
            "quarantine": bad,
            "report": {"accepted": 569, "quarantined": 1},
            "statement": self.provenance(statements.DATASET_SNAPSHOT, job, subjects, [bad["digest"]]),
        }

    def materialised(self, job: Json) -> Json:
        """Return the outcome of a materialisation."""
        data = blob(job["id"], "features")
        return {
            "data": data,
            "arrow_schema": [{"name": name, "type": "float64"} for name in FEATURES],
            "schema_digest": digest("schema"),
            "rows": 569,
            "statement": self.provenance(
                statements.FEATURE_MATERIALIZATION, job, [("features.parquet", data["digest"])]
            ),
        }

    def trained(self, job: Json) -> Json:
        """Return the outcome of a training: an ONNX model and its record, with held-out and reference data."""
        files = [file("model.onnx", job["id"], "model"), file("training.json", job["id"], "record", role="config")]
        made = [blob(job["id"], what) for what in ("model", "record", "holdout", "reference")]
        named = [(one["path"], Digest.parse(one["digest"])) for one in files]
        return {
            "files": files,
            "placed": made,
            "training": {
                "features": FEATURES,
                "label": "malignant",
                "holdout": made[2]["digest"],
                "reference": made[3]["digest"],
            },
            "provenance": self.provenance(
                statements.TRAINING,
                job,
                [(one["path"], one["digest"]) for one in files],
                [made[2]["digest"], made[3]["digest"]],
            ),
            "model_signature": self.sign(oms.oms_statement("oncology-malignancy", named)),
        }

    def scanned(self, job: Json, *, failing: str = "") -> Json:
        """Return the outcome of a scan in which everything passes but the path *failing*."""
        reports = [
            {
                "path": one["path"],
                "format": one["format"],
                "verdict": one.get("verdict", "servable"),
                "passed": one["path"] != failing,
                "reason": "it imports os.system" if one["path"] == failing else "",
                "scanner": one["format"],
                "advice": "",
                "findings": [],
            }
            for one in job["spec"]["files"]
        ]
        return {"passed": not failing, "files": reports, "statement": self.scan_statement(job, reports)}

    def scan_statement(self, job: Json, reports: Sequence[Json]) -> str:
        """Sign the reports of a scan."""
        passed = [f"scan {one['path']}" for one in reports if one["passed"]]
        failed = [f"scan {one['path']}" for one in reports if not one["passed"]]
        about = predicates.descriptor("scan.json", Digest.of(canonical(list(reports))))
        predicate = predicates.outcome([about], passed=passed, failed=failed)
        subjects = [(one["path"], one["digest"]) for one in job["spec"]["files"]]
        return self.attest(statements.TEST_RESULT, subjects, predicate)

    def evaluated(self, job: Json, *, auc: Mapping[str, float] = MEASURED, is_passed: bool = True) -> Json:
        """Return the outcome of an evaluation."""
        test = ["roc_auc >= 0.95"]
        predicate = predicates.outcome(
            [predicates.descriptor("evaluation.json", Digest.of(canonical({"job": job["id"]})))],
            passed=test if is_passed else [],
            failed=[] if is_passed else test,
        )
        predicate |= {"rows": 171, "metrics": {"roc_auc": dict(auc)}, "subgroups": {}, "gaps": {}}
        statement = self.attest(statements.TEST_RESULT, [("model.onnx", job["spec"]["model"])], predicate)
        return {"evaluation": predicate, "statement": statement}

    def deployed(self, job: Json) -> Json:
        """Return the outcome of a deployment."""
        endpoint = "http://127.0.0.1:9/v2/models/oncology.malignancy"
        providers, verified = ["CPUExecutionProvider"], {"digest": job["spec"]["digest"]}
        predicate = {"endpoint": endpoint, "providers": providers, **verified}
        statement = self.attest(statements.DEPLOYMENT, [("model.onnx", job["spec"]["model"])], predicate)
        return {"endpoint": endpoint, "providers": providers, "verification": verified, "statement": statement}

    def monitored(self, job: Json, *, is_drift: bool = False) -> Json:
        """Return the outcome of a monitor run."""
        drifted = DRIFTED if is_drift else []
        return {"results": [{"engine": "scipy", "is_drift": is_drift, "drifted": drifted}], "captured": 200}
