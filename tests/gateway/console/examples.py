# SPDX-License-Identifier: Apache-2.0
"""Example contexts for the console's tests: the main job, told in full, and each page's empty or refused side."""

# data, in the order of its fields
from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.console import addresses, contexts, parts
from gateway.console.contexts import Context
from khatim.vocabulary import ActorKind, Certainty, Digest, FileRole, Role, Stage, VersionStatus

AT = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
REF = "version:oncology/malignancy@1"
Estimate = parts.Estimate
Words = parts.Words

MARIAM = parts.Who("person:0197a1c2-3f4e", "Mariam Al Ketbi")
YOUSEF = parts.Who("person:0197a1c2-7b10", "Yousef Haddad")
NOURA = parts.Who("person:0197a1c2-9d22", "Noura Al Suwaidi")
OMAR = parts.Who("person:0197a1c2-c05a", "Omar Rahman")
AGENT = parts.Who("agent:01a20670-f80f-7413-bba8-95987715d424", "agent-1", ActorKind.AGENT, "ae-health")
RETIRED = parts.Who("enrolment:01a20670-e000-7413-bba8-95987715d425", kind=ActorKind.AGENT)
SERVICE = parts.Who("service:khatim", kind=ActorKind.SERVICE)

CHROME = contexts.Chrome(
    here="/console/models?q=oncology",
    instance="ledger.seha.khatim",
    zone="ae-onshore",
    is_local_mode=True,
    sees_ledger=True,
    who=OMAR,
    roles=(Role.MODEL_RISK_APPROVER, Role.AUDITOR),
    csrf="c5rf-t0ken",
    notice=contexts.Notice(
        is_done=True,
        text="Your approval was signed and recorded.",
        advice="Two of three approvals are given.",
        index=41,
    ),
)


def at(minutes: float) -> datetime:
    """Return a moment of the story."""
    return AT + timedelta(minutes=minutes)


def digest(what: str) -> str:
    """Return a digest that looks like one."""
    return str(Digest.of(what.encode()))


BOUND = (
    parts.Binding("model", digest("model")),
    parts.Binding("dataset", digest("dataset")),
    parts.Binding("evidence", digest("evaluation")),
    parts.Binding("policy", digest("policy")),
    parts.Binding("zone", "ae-health"),
)

GATE = parts.Gate(
    Stage.STAGING,
    "production",
    digest("policy"),
    (
        parts.Requirement(
            "version/scanned",
            "Every file was scanned in a zone",
            True,
            legal_basis="policy of this installation; ISO/IEC 27001:2022 A.8.7",
            certainty=Certainty.INFERRED,
        ),
        parts.Requirement(
            "production/evaluated",
            Words("A signed evaluation passed on held-out data", "اجتاز الإصدار تقييمًا موقّعًا على بيانات محجوبة"),
            True,
            Words("ROC AUC 0.991, asked for 0.950", "المساحة تحت منحنى ROC 0.991 والمطلوب 0.950"),
        ),
        parts.Requirement(
            "production/validator",
            Words("A validator approved", "موافقة مسؤول التحقق"),
            True,
            Words("Yousef Haddad", "Yousef Haddad"),
        ),
        parts.Requirement(
            "production/privacy-officer",
            Words("A privacy officer approved", "موافقة مسؤول الخصوصية"),
            True,
            Words("Noura Al Suwaidi", "Noura Al Suwaidi"),
        ),
        parts.Requirement(
            "production/model-risk",
            Words("A model risk approver approved", "موافقة معتمِد مخاطر النماذج"),
            False,
            Words("Nobody in this role has approved these bytes", "لم يوافق أحد بهذا الدور على هذه الملفات"),
            Words("Ask a model risk approver who did not train it", "اطلبها من معتمِد مخاطر لم يشارك في التدريب"),
        ),
    ),
)

EVALUATION = parts.Evaluation(
    "PASSED",
    "dataset:oncology/wdbc@1",
    171,
    0.95,
    at(3),
    AGENT,
    digest("evaluation"),
    (
        parts.Metric("roc_auc", Estimate(0.991, 0.978, 0.999), 0.95, True),
        parts.Metric("sensitivity", Estimate(0.953, 0.898, 0.984), 0.9, True),
        parts.Metric("specificity", Estimate(0.972, 0.934, 0.991), 0.9, True),
        parts.Metric("accuracy", Estimate(0.965, 0.931, 0.988), 0.97, False),
        parts.Metric("balanced_accuracy", Estimate(0.962)),
        parts.Metric("cohort_kappa", Estimate(0.924, 0.858, 0.97)),
    ),
    ("roc_auc", "sensitivity", "specificity"),
    (
        parts.Subgroup(
            "mean radius: lower third", 57, (Estimate(0.984, 0.95, 1.0), None, Estimate(0.981, 0.93, 0.999))
        ),
        parts.Subgroup(
            "mean radius: middle third",
            57,
            (Estimate(0.972, 0.93, 0.995), Estimate(0.91, 0.78, 0.97), Estimate(0.95, 0.88, 0.99)),
        ),
        parts.Subgroup("mean radius: upper third", 57, (Estimate(0.996, 0.98, 1.0), Estimate(0.98, 0.93, 0.999), None)),
    ),
)

APPROVALS = (
    parts.Approval(
        Role.PRIVACY_OFFICER,
        NOURA,
        "I assessed the effect on people's privacy and approve this version",
        at(9),
        at(60 * 24 * 90),
        "server-attested",
        digest("a2"),
        "active",
        comment="لا تغادر البيانات المنطقة الصحية، والمجموعات الفرعية لا تكشف أفرادًا.",
        bound_to=BOUND,
        stands_in_for=YOUSEF,
        ticket="CHG-1042 · authorised",
        obligations=(
            parts.Obligation("Repeat the bias test on the new cohort", at(60 * 24 * 90), ("Job 7 of today shows it",)),
            parts.Obligation("Name the second reader", at(60 * 24 * 100)),
        ),
    ),
    parts.Approval(
        Role.VALIDATOR,
        YOUSEF,
        "I validated this version independently and approve it",
        at(7),
        at(60 * 24 * 90),
        "server-attested",
        digest("a1"),
        "suspended",
        Words(
            "Suspended by finding:01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c11: inputs have drifted",
            "علّقتها الملاحظة finding:01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c11: انحرفت المدخلات",
        ),
        "Reproduced the metrics on the held-out set; subgroup results are within tolerance.",
        BOUND,
    ),
    parts.Approval(
        Role.MODEL_RISK_APPROVER, OMAR, "Because I say so", at(2), None, "server-attested", digest("a0"), "expired"
    ),
)

LINEAGE = parts.Lineage(
    (
        parts.LineageNode("artifact:wdbc.csv", "source", "wdbc.csv", "ae-health", digest("csv")),
        parts.LineageNode(
            "dataset:oncology/wdbc@1",
            "dataset",
            "oncology/wdbc@1",
            "ae-health",
            digest("dataset"),
            True,
            href="/console/ledger?resource=dataset%3Aoncology%2Fwdbc%401",
        ),
        parts.LineageNode(
            "features:oncology/cell-shape@1", "features", "oncology/cell-shape@1", "ae-health", digest("features"), True
        ),
        parts.LineageNode("artifact:train", "artifact", "train.py", "", digest("code"), None),
        parts.LineageNode(REF, "version", "oncology/malignancy@1", "ae-health", digest("model"), True, True),
        parts.LineageNode("deployment:1", "deployment", "malignancy-ae-health", "ae-health", "", True),
        parts.LineageNode("deployment:2", "deployment", "malignancy-shadow", "ae-onshore", "", False),
    ),
    (
        parts.LineageEdge("artifact:wdbc.csv", "dataset:oncology/wdbc@1", "source"),
        parts.LineageEdge("dataset:oncology/wdbc@1", "features:oncology/cell-shape@1", "dataset"),
        parts.LineageEdge("features:oncology/cell-shape@1", REF, "features"),
        parts.LineageEdge("dataset:oncology/wdbc@1", REF, "weights"),
        parts.LineageEdge("artifact:train", REF, "code"),
        parts.LineageEdge(REF, "deployment:1", "deployed"),
        parts.LineageEdge(REF, "deployment:2", ""),
    ),
)

_STORY: tuple[tuple[str, parts.Who, str, str, bool, parts.Phrase], ...] = (
    (
        "deployment.refused",
        MARIAM,
        REF,
        "ext-de",
        True,
        Words("Health data may not leave the State: health.ae", "لا يجوز أن تغادر البيانات الصحية الدولة: health.ae"),
    ),
    (
        "approvals.changed",
        SERVICE,
        REF,
        "ae-health",
        False,
        Words("Drift of mean radius: p = 0.0003", "انحراف في mean radius: p = 0.0003"),
    ),
    ("finding.opened", AGENT, "finding:01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c11", "ae-health", False, ""),
    ("deployment.changed", AGENT, "deployment:1", "ae-health", False, ""),
    ("deployment.requested", MARIAM, "deployment:1", "ae-health", False, ""),
    ("version.promoted", OMAR, REF, "ae-health", False, ""),
    ("approval.granted", OMAR, REF, "ae-health", False, ""),
    ("version.refused", MARIAM, REF, "ae-health", True, "The person who trained a version may not approve it"),
    ("version.refused", MARIAM, REF, "ae-health", True, "Three approvals are missing"),
    ("evidence.submitted", AGENT, REF, "ae-health", False, ""),
    ("version.scanned", AGENT, REF, "ae-health", False, ""),
    ("version.registered", AGENT, REF, "ae-health", False, ""),
    ("features.registered", AGENT, "features:oncology/cell-shape@1", "ae-health", False, ""),
    ("dataset.registered", AGENT, "dataset:oncology/wdbc@1", "ae-health", False, ""),
    ("agent.enrolled", RETIRED, AGENT.ref, "ae-health", False, ""),
    ("quota.raised", SERVICE, "zone:ae-health", "", False, ""),
)

ENTRIES = tuple(
    parts.EntryLine(
        1042 - place, at(20 - place), kind, who, about, zone, refused, summary, AGENT if about == AGENT.ref else None
    )
    for place, (kind, who, about, zone, refused, summary) in enumerate(_STORY)
)

CHECKPOINT = parts.Checkpoint(
    "ledger.seha.khatim",
    1043,
    "kWgFxTbUoF8rPpSeNmCbf2mBwEz9JqT0c3pN6rF0Z7A=",
    "ledger.seha.khatim\n1043\nkWgFxTbUoF8rPpSeNmCbf2mBwEz9JqT0c3pN6rF0Z7A=\n\n"
    "— ledger.seha.khatim Uw6TCsI3Zk0y4o0B9bqFSBp7uA0S1cQkB0Q0y9g1p0l3Wc9oZc2s4C8Jb1xGJrVQyE7m2N0yYp9qfHk3Rk=\n",
    "ledger.seha.khatim+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    at(20.2),
    2,
)

VERSION = contexts.VersionPage(
    chrome=replace(CHROME, here=addresses.version("oncology", "malignancy", 1)),
    namespace="oncology",
    model="malignancy",
    number=1,
    numbers=(2, 1),
    digest=digest("model"),
    stage=Stage.STAGING,
    is_alone=False,
    status=VersionStatus.READY,
    status_message="",
    revoked="",
    zone="ae-health",
    tags=("health.ae", "synthetic"),
    tier=1,
    aliases=("candidate",),
    registered_at=at(1),
    registered_by=MARIAM,
    description="Gradient boosting on cell nuclei; supports, never replaces, the pathologist.",
    step=parts.NextStep(
        "act",
        Words(
            "Your approval as model risk approver is the last one missing",
            "موافقتك بصفتك معتمِد مخاطر النماذج هي الأخيرة المتبقية",
        ),
        Words("Everything it will be bound to is on this page", "كل ما سترتبط به الموافقة معروض في هذه الصفحة"),
    ),
    gate=GATE,
    approvals=APPROVALS,
    evaluations=(EVALUATION,),
    scan=parts.Scan(
        False, "khatim-scan 1 (onnx 1.23.2)", at(1.5), ("model.onnx: an operator outside the default domain",)
    ),
    signatures=(
        parts.Signature(
            "https://in-toto.io/attestation/test-result/v0.1",
            "spiffe://khatim/agent/ae-health-1",
            "https://ca.seha.khatim",
            at(3),
            12,
            digest("s3"),
            True,
            who=AGENT,
        ),
        parts.Signature(
            "https://slsa.dev/provenance/v1",
            "spiffe://khatim/agent/ae-health-1",
            "https://ca.seha.khatim",
            at(1),
            9,
            digest("s2"),
            True,
        ),
        parts.Signature(
            "https://model_signing/signature/v1.0",
            "spiffe://khatim/agent/ae-health-1",
            "https://ca.seha.khatim",
            at(1),
            None,
            digest("s1"),
            False,
            "The timestamp lies outside the certificate's validity",
        ),
    ),
    files=(
        parts.File("model.onnx", FileRole.WEIGHTS, "onnx", "servable", 184_231, digest("f1")),
        parts.File("training/estimator.pkl", FileRole.WEIGHTS, "pickle", "record-only", 2_184_231, digest("f2")),
        parts.File("config.json", FileRole.CONFIG, "json", "servable", 412, digest("f3")),
    ),
    lineage=LINEAGE,
    deployments=(
        parts.Deployment(
            "deployment:oncology/01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c22",
            "http://10.0.0.7:8443/v2/models/malignancy",
            "ae-health",
            "suspended",
            at(18),
            AGENT,
            Words("Inputs have drifted; policy suspends", "انحرفت المدخلات؛ وتقضي السياسة بالتعليق"),
            "finding:01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c11",
        ),
        parts.Deployment(
            "deployment:oncology/01a2067e-ed65-7bd5-9c2e-5d3b0a4f7c23", "", "ae-onshore", "requested", at(12)
        ),
    ),
    residency=(
        parts.Residency(
            at(19),
            "deploy",
            "ae-health",
            "ext-de",
            False,
            "health.ae.location",
            Words(
                "Health information of services in the State stays in the State",
                "تبقى المعلومات الصحية المتعلقة بالخدمات المقدَّمة في الدولة داخل الدولة",
            ),
            "Federal Law 2/2019 Art. 13; MD 51/2021",
            Certainty.SECONDARY,
            1042,
        ),
        parts.Residency(at(11), "deploy", "ae-health", "ae-health", True, "same-zone", "The bytes stay in their zone"),
    ),
    history=ENTRIES[:6],
    approve=parts.ApproveForm(
        (Role.MODEL_RISK_APPROVER,),
        ("I accept the remaining risk of this version", "I reviewed the evidence and approve this version"),
        90,
        BOUND,
        digest("binding"),
    ),
    promote_to=Stage.PRODUCTION,
)

MODELS = contexts.ModelsPage(
    CHROME,
    "",
    (
        contexts.ModelLine(
            "oncology",
            "malignancy",
            2,
            Stage.STAGING,
            VersionStatus.READY,
            "ae-health",
            ("health.ae",),
            contexts.Tally("waiting", 2, 3),
            at(20),
        ),
        contexts.ModelLine(
            "oncology",
            "malignancy-screening",
            7,
            Stage.PRODUCTION,
            VersionStatus.READY,
            "ae-health",
            ("health.ae", "children"),
            contexts.Tally("complete", 3, 3),
            at(-600),
        ),
        contexts.ModelLine(
            "cardiology",
            "arrhythmia",
            4,
            Stage.PRODUCTION,
            VersionStatus.READY,
            "ae-health",
            ("health.ae",),
            contexts.Tally("suspended", 0, 3),
            at(-4000),
        ),
        contexts.ModelLine(
            "operations",
            "bed-demand",
            12,
            Stage.STAGING,
            VersionStatus.PENDING,
            "ae-onshore",
            (),
            contexts.Tally("none"),
            at(-90),
        ),
        contexts.ModelLine(
            "operations",
            "no-show",
            3,
            Stage.NONE,
            VersionStatus.FAILED,
            "ae-onshore",
            ("personal",),
            contexts.Tally("none"),
            at(-9000),
        ),
        contexts.ModelLine(
            "radiology",
            "chest-triage",
            1,
            Stage.ARCHIVED,
            VersionStatus.READY,
            "ae-health",
            ("health.ae",),
            contexts.Tally("expired", 1, 3),
            at(-90000),
        ),
        contexts.ModelLine(
            "radiology",
            "bone-age",
            None,
            Stage.NONE,
            VersionStatus.PENDING,
            "ae-health",
            (),
            contexts.Tally("none"),
            at(-100),
        ),
    ),
    next_after="cursor-2",
)

RAW = json.dumps(
    {
        "event": {
            "actor": MARIAM.ref,
            "at": "2026-11-23T02:50:00.123456Z",
            "kind": "deployment.refused",
            "payload": {"certainty": "S", "error": "residency-refused", "rule": "health.ae.location"},
            "resource": REF,
            "zone": "ext-de",
        },
        "index": 1042,
        "prev": "9a" * 32,
        "v": 1,
    },
    indent=2,
)

ENTRY = contexts.EntryPage(
    replace(CHROME, notice=None, here=addresses.entry(1042)),
    ENTRIES[0],
    RAW,
    "9a" * 32,
    "4c" * 32,
    CHECKPOINT,
    parts.Proof(1043, "9168" * 16, tuple(f"{n:02x}" * 32 for n in range(1, 8))),
    1043,
    1041,
)

LEDGER = contexts.LedgerPage(
    replace(CHROME, notice=None, here=addresses.LEDGER),
    ENTRIES,
    CHECKPOINT,
    tuple(sorted({entry.kind for entry in ENTRIES})),
    next_before=1028,
)
STRANGER = contexts.Chrome("/console/sign-in", "ledger.seha.khatim", "ae-onshore", True)

OUTSIDE = replace(STRANGER, is_local_mode=False)
IDP = "login.seha.example"
EXAMPLES: dict[str, tuple[str, Context]] = {
    "models": ("models", MODELS),
    "models-searched": ("models", replace(MODELS, search="xyz", models=(), after="c", next_after="")),
    "models-empty": ("models", contexts.ModelsPage(replace(CHROME, is_local_mode=False, roles=()), "", ())),
    "version": ("version", VERSION),
    "version-bare": (
        "version",
        replace(
            VERSION,
            chrome=replace(CHROME, notice=contexts.Notice(is_done=False, text="Refused", advice="Ask another person")),
            gate=None,
            numbers=(1,),
            approvals=(),
            evaluations=(),
            scan=None,
            signatures=(),
            files=(),
            lineage=parts.Lineage((), ()),
            deployments=(),
            residency=(),
            history=(),
            approve=None,
            promote_to=None,
            aliases=(),
            tags=(),
            description="",
            status=VersionStatus.FAILED,
            status_message="The file model.onnx cannot be parsed",
            revoked="Wrong labels",
            why_not_approve=Words(
                "You trained this version; somebody else must approve it.",
                "أنت من درّب هذا الإصدار؛ لا بد أن يوافق عليه شخص آخر.",
            ),
            step=parts.NextStep("stopped", "Registration failed"),
        ),
    ),
    "version-waiting": (
        "version",
        replace(
            VERSION,
            step=parts.NextStep("wait", "Waiting for the scan"),
            scan=replace(VERSION.scan, is_clean=True, findings=()) if VERSION.scan else None,
        ),
    ),
    "version-done": ("version", replace(VERSION, step=parts.NextStep("done", "In production"), stage=Stage.PRODUCTION)),
    "ledger": ("ledger", LEDGER),
    "ledger-filtered": (
        "ledger",
        replace(LEDGER, kind="version.refused", resource=REF, only_refusals=True, before=1040),
    ),
    "ledger-empty": ("ledger", replace(LEDGER, entries=(), checkpoint=None, next_before=None)),
    "entry": ("entry", ENTRY),
    "entry-pending": (
        "entry",
        replace(ENTRY, entry=replace(ENTRIES[1], zone=""), checkpoint=None, proof=None, newer=None, older=None),
    ),
    "sign-in": ("sign_in", contexts.SignInPage(STRANGER, "ask")),
    "sign-in-confirm": ("sign_in", contexts.SignInPage(STRANGER, "confirm", "s3cret", MARIAM)),
    "sign-in-expired": ("sign_in", contexts.SignInPage(STRANGER, "expired")),
    "sign-in-used": ("sign_in", contexts.SignInPage(STRANGER, "used")),
    "sign-in-invalid": ("sign_in", contexts.SignInPage(STRANGER, "invalid")),
    "sign-in-provider": ("sign_in", contexts.SignInPage(OUTSIDE, "ask", provider=IDP, begin=addresses.BEGIN)),
    "sign-in-api-only": ("sign_in", contexts.SignInPage(OUTSIDE, "ask", provider=IDP)),
    "sign-in-refused": (
        "sign_in",
        contexts.SignInPage(
            OUTSIDE,
            "refused",
            provider=IDP,
            begin=addresses.BEGIN,
            why="the identity provider did not sign you in: access_denied",
        ),
    ),
    "signed-out": (
        "sign_in",
        contexts.SignInPage(
            OUTSIDE, "ask", provider=IDP, begin=addresses.BEGIN, is_out=True, end_session=f"https://{IDP}/end"
        ),
    ),
    "error": (
        "error",
        contexts.ErrorPage(
            replace(CHROME, notice=None),
            403,
            "The bytes may not be there.".rstrip("."),
            "oncology/malignancy@1 may not be deployed to ext-de.",
            "Deploy it in a zone whose location is AE, or register a transfer authorisation.",
            "residency-refused",
            "req-0197a1c2",
            (
                ("rule", "health.ae.location"),
                ("legal_basis", "Federal Law 2/2019 Art. 13"),
                ("certainty", "S"),
                ("finding_count", "0"),
            ),
            True,
            "/console/models/oncology/malignancy/versions/1",
        ),
    ),
    "error-stranger": ("error", contexts.ErrorPage(STRANGER, 401, "Nobody is signed in", "Sign in first.")),
}
