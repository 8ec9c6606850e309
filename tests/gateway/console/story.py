# SPDX-License-Identifier: Apache-2.0
"""A version with all that belongs to it, on a real database, through the verbs that agents and people use."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.transaction import Transaction
from gateway import app
from gateway.composition import Parts
from governance import approvals, deployments, evaluations, promotion
from governance.tables import Evidence
from khatim import tokens
from khatim.errors import KhatimError
from khatim.vocabulary import NOBODY, Actor, ActorKind, Digest, Role, Stage
from khatim.wire import work as wire
from policies.facts import Transition
from registry import artifacts, datasets, manifests, people, queries, versions
from registry.signing import oms, possession, predicates, statements
from registry.signing.desk import LocalOffice
from registry.signing.signer import LocalSigner
from registry.tables import ModelVersion
from runners import enrolment
from runners.agents import AUDIENCE

PATH = "oncology/malignancy@1"
PAGE = "/console/models/oncology/malignancy/versions/1"
ZONE = "ae-health"
ENGINEER = Actor("p-engineer", ActorKind.PERSON, frozenset({Role.DATA_ENGINEER}))
SCIENTIST = Actor("p-scientist", ActorKind.PERSON, frozenset({Role.DATA_SCIENTIST}))
VALIDATOR = Actor("p-validator", ActorKind.PERSON, frozenset({Role.VALIDATOR}))
OFFICER = Actor("p-officer", ActorKind.PERSON, frozenset({Role.PRIVACY_OFFICER}))
APPROVER = Actor("p-approver", ActorKind.PERSON, frozenset({Role.MODEL_RISK_APPROVER}))
AUDITOR = Actor("p-auditor", ActorKind.PERSON, frozenset({Role.AUDITOR}))
NAMES = {
    ENGINEER: "Layla Haddad",
    SCIENTIST: "Mariam Al Ketbi",
    VALIDATOR: "Yousef Haddad",
    OFFICER: "Noura Al Suwaidi",
    APPROVER: "Omar Rahman",
    AUDITOR: "Huda Saleh",
}
CSV, DATA, FEATURES, MODEL = (Digest.of(name.encode()) for name in ("csv", "data", "features", "model"))
FILES = [("model.onnx", MODEL)]
SETTINGS = {"thresholds": {"roc_auc": {"min": 0.95}}, "confidence": 0.95}
MEASURED = {"value": 0.99, "low": 0.97, "high": 0.999}
RESULT: dict[str, Any] = {
    "result": "PASSED",
    "configuration": [{"name": "evaluation.json", "content": base64.b64encode(json.dumps(SETTINGS).encode()).decode()}],
    "passedTests": ["roc_auc >= 0.95"],
    "warnedTests": [],
    "failedTests": [],
    "rows": 171,
    "metrics": {"roc_auc": MEASURED, "brier": {"value": None, "note": "no rows"}},
    "subgroups": {
        "large": {"rows": 60, "metrics": {"roc_auc": {"value": None}}},
        "small": {"rows": 111, "metrics": {"roc_auc": MEASURED}},
    },
}


class Browser:
    """A browser without scripts: it keeps cookies, asks for pages, and does not follow redirects by itself."""

    def __init__(self, wiring: Parts) -> None:
        """Open it on this machine."""
        transport = httpx.ASGITransport(app.create(wiring), raise_app_exceptions=False, client=("127.0.0.1", 5000))
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"accept": "text/html"}
        )

    def get(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        """Open a page."""
        return asyncio.run(self._client.get(path, params=params))

    def post(self, path: str, data: Mapping[str, str], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a form."""
        return asyncio.run(self._client.post(path, data=data, headers=headers))


class Story:
    """Tells the story step by step with the parts of a server."""

    def __init__(self, wiring: Parts) -> None:
        """Take the parts."""
        self.wiring = wiring
        self.agent = NOBODY

    def sign(self, payload: bytes) -> str:
        """Sign a statement as the zone's agent."""
        notary = self.wiring.notary
        office = self.wiring.office
        assert isinstance(office, LocalOffice)
        # In its own name only the agent signs; here the story plays it, with the authority in hand.
        name = notary.agent(ZONE, self.agent.ref.removeprefix("agent:"))
        return LocalSigner(office.authority, name, notary.issuer, lambda: datetime.now(UTC)).sign(payload)

    def bundle(self, kind: str, subjects: Sequence[tuple[str, Digest]]) -> str:
        """Return a signed provenance of build type *kind*."""
        now = datetime.now(UTC)
        run = predicates.Run(builder=self.agent.ref, invocation="1", started=now, finished=now)
        predicate = predicates.provenance(kind, {}, [], run, [])
        return self.sign(statements.statement(subjects, statements.SLSA_PROVENANCE, predicate))

    def admit(self, tx: Transaction, about: str, kind: str, bundle: str, subjects: Sequence[Digest]) -> Any:
        """Keep a signed statement, as the completion of a job does."""
        return self.wiring.notary.admit(tx, about, bundle, self.wiring.notary.check(bundle, kind, subjects, zone=ZONE))

    def enrol(self) -> None:
        """Let the zone's agent join with a one-time token."""
        issuer, name, at = self.wiring.local_tokens.issuer, str(uuid.uuid4()), datetime.now(UTC)
        newcomer = Actor(f"enrolment:{name}", ActorKind.AGENT, frozenset({Role.AGENT}), ZONE)
        voucher = tokens.issue(
            issuer.key, kind="enrolment", subject=newcomer.ref, audience=AUDIENCE, issuer=issuer.issuer, at=at,
            ttl=timedelta(minutes=5), zone=ZONE, jti=name,
        )  # fmt: skip
        proof = possession.prove_enrolment(Ed25519PrivateKey.generate(), voucher, at)
        body = wire.Enrol(name="agent-1", door="http://127.0.0.1:1", proof=proof)
        notary, office = self.wiring.notary, self.wiring.office
        with self.wiring.ledger.transaction(newcomer) as tx:
            known = enrolment.redeem(tx, body, voucher, issuer=issuer, notary=notary, office=office)
        self.agent = Actor(known.agent, ActorKind.AGENT, frozenset({Role.AGENT}), ZONE)

    def register(self) -> None:
        """Register dataset, feature view and version, each signed by the zone's agent."""
        self.enrol()
        for actor, name in NAMES.items():
            with self.wiring.ledger.transaction(actor) as tx:
                people.know(tx, actor.ref, name, vault=self.wiring.vault)
        with self.wiring.ledger.transaction(self.agent) as tx:
            for digest, size in ((CSV, 900), (DATA, 800), (FEATURES, 700), (MODEL, 184_231)):
                artifacts.place(
                    tx,
                    str(digest),
                    zone=ZONE,
                    size=size,
                    media_type="application/octet-stream",
                    tags=["health.ae"],
                    basis="story",
                )
            data = self.bundle(statements.DATASET_SNAPSHOT, [("wdbc", DATA)])
            row = self.admit(tx, "dataset:oncology/wdbc@1", statements.DATASET_SNAPSHOT, data, [DATA])
            made = datasets.Snapshot(str(DATA), str(CSV), None, {}, {"accepted": 569}, ["health.ae"])
            dataset = datasets.register(
                tx, "oncology", "wdbc", made, zone=ZONE, by=ENGINEER.ref, statement_id=str(row.id)
            )
            view = datasets.register_features(
                tx,
                dataset,
                "cell-shape",
                datasets.Materialisation(str(FEATURES), {}, [], str(FEATURES), 569),
                by=ENGINEER.ref,
                statement_id="",
            )
            features = self.bundle(statements.FEATURE_MATERIALIZATION, [("cell-shape", FEATURES)])
            self.admit(tx, view.ref, statements.FEATURE_MATERIALIZATION, features, [FEATURES])
            files = [{"path": "model.onnx", "digest": str(MODEL), "size": 184_231, "role": "weights", "format": "onnx"}]
            version = versions.register(
                tx,
                "oncology",
                "malignancy",
                manifests.manifest_of(files),
                zone=ZONE,
                tags=["health.ae"],
                parents=[(view.ref, "features"), (dataset.ref, "dataset")],
                by=SCIENTIST.ref,
                training={"holdout": str(DATA), "label": "malignant", "features": ["radius"]},
            )
            self.admit(tx, version.ref, statements.TRAINING, self.bundle(statements.TRAINING, FILES), [MODEL])
            signature = self.sign(oms.oms_statement("malignancy", FILES))
            self.admit(tx, version.ref, statements.OMS_SIGNATURE, signature, [oms.root_digest(FILES)])

    def scan_and_evaluate(self) -> None:
        """Let the scan make the version ready, and a signed test result arrive."""
        with self.wiring.ledger.transaction(self.agent) as tx:
            version = queries.numbered(tx, ModelVersion, PATH)
            report = [
                {
                    "path": "model.onnx",
                    "format": "onnx",
                    "verdict": "servable",
                    "passed": True,
                    "reason": "",
                    "scanner": "onnx",
                }
            ]
            configuration = [{"name": "model.onnx", "digest": {"sha256": MODEL.hex}}]
            scan = {"result": "PASSED", "configuration": configuration, "files": report}
            for kind, details in (("scan", scan), ("evaluation", {"configuration": configuration, **RESULT})):
                bundle = self.sign(statements.statement(FILES, statements.TEST_RESULT, details))
                row = self.admit(tx, version.ref, statements.TEST_RESULT, bundle, [MODEL])
                if kind == "scan":
                    versions.mark_scanned(tx, version, findings=report, failure="", statement=row)
                kept: Evidence = evaluations._keep(
                    tx, version, kind=kind, result="PASSED", details=details, statement=row
                )
                assert kept.result == "PASSED"

    def approve(self, actor: Actor) -> None:
        """Let somebody approve in their own role."""
        with self.wiring.ledger.transaction(actor) as tx:
            approvals.approve(
                tx,
                PATH,
                role=next(iter(actor.roles)),
                meaning="I reviewed the evidence and approve this version",
                comment="",
                valid_days=365,
                notary=self.wiring.notary,
                rules=self.wiring.rules,
            )

    def promote_and_deploy(self) -> None:
        """Promote, deploy in the zone, and be refused abroad."""
        rules, notary = self.wiring.rules, self.wiring.notary
        with self.wiring.ledger.transaction(SCIENTIST) as tx:
            promotion.promote(tx, PATH, Stage.PRODUCTION, because="approved", notary=notary, rules=rules)
        with self.wiring.ledger.transaction(SCIENTIST) as tx:
            deployments.request(tx, PATH, zone=ZONE, notary=notary, rules=rules)
        self.refused(lambda tx: deployments.request(tx, PATH, zone="ext-de", notary=notary, rules=rules))

    def refused(self, asking: Any, actor: Actor = SCIENTIST) -> None:
        """Ask for what the rules refuse."""
        try:
            with self.wiring.ledger.transaction(actor) as tx:
                asking(tx)
        except KhatimError:
            return
        raise AssertionError("nothing was refused")

    def unmet(self) -> tuple[str, ...]:
        """Return what the gate to production still asks for."""
        with self.wiring.ledger.reading(SCIENTIST) as reader:
            version = queries.numbered(reader, ModelVersion, PATH)
            return promotion.gate_of(
                reader, version, Transition.PRODUCTION, zone=ZONE, notary=self.wiring.notary, rules=self.wiring.rules
            ).rules

    def browser(self, actor: Actor | None = None) -> Browser:
        """Return a browser on this machine, signed in as *actor*."""
        browser = Browser(self.wiring)
        if actor is not None:
            answer = browser.post("/sign-in", data={"link": self.link(actor)})
            assert answer.status_code == 303, answer.text
        return browser

    def link(self, actor: Actor, *, ago: timedelta = timedelta(0)) -> str:
        """Return a one-time link's secret, as the terminal prints it."""
        at = datetime.now(UTC) - ago
        return self.wiring.local_tokens.link(actor.ref, NAMES[actor], actor.roles, at=at)
