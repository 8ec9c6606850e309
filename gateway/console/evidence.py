# SPDX-License-Identifier: Apache-2.0
"""What stands in rows about a version, as the pieces of its page: evidence, signatures, files, lineage, residency."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from gateway.console import addresses, parts
from gateway.console.formats import short
from gateway.console.names import Names, signer_of
from gateway.console.parts import Words
from gateway.console.wording import because_of, joined, words
from governance import tables
from khatim.errors import SignatureInvalid
from khatim.vocabulary import Certainty, Digest, FileRole, Role
from khatim.wire import proofs
from policies.loading import PolicyBundle
from registry.lineage import Node
from registry.notary import Notary
from registry.signing.revocation import Book, Standing
from registry.signing.verification import VerifiedStatement, verify_bundle
from registry.tables import ModelVersion, Statement

_RESIDENCY_REFUSED = "residency-refused"
_MOVEMENTS = {"deployment.requested": "deploy", "artifact.download_authorised": "download"}
_VERDICTS = {"servable", "record-only", "refused"}


def evaluation(row: tables.Evidence, names: Names, statement: str, holdout: str) -> parts.Evaluation:
    """Read an in-toto test result as `runners` writes it; its configuration says thresholds and confidence."""
    found = row.details
    settings = _configuration(found)
    failed, passed = (
        {str(test).split(" ")[0] for test in found.get(key, ())} for key in ("failedTests", "passedTests")
    )
    metrics = []
    for name, measured in found.get("metrics", {}).items():
        estimate = _estimate(measured)
        if estimate is not None:
            limits = settings.get("thresholds", {}).get(name, {})
            judged = None if name not in failed | passed else name not in failed
            metrics.append(parts.Metric(name, estimate, limits.get("min", limits.get("max")), judged))
    groups: Mapping[str, Mapping[str, Any]] = found.get("subgroups", {})
    heads = tuple(dict.fromkeys(name for group in groups.values() for name in group.get("metrics", {})))
    return parts.Evaluation(
        result=row.result if row.result in ("PASSED", "WARNED") else "FAILED",  # type: ignore[arg-type]  # one of three
        dataset=holdout,
        rows=int(found.get("rows", 0)),
        confidence=float(settings.get("confidence", 0.95)),
        at=row.at,
        who=names.who(row.submitted_by),
        statement=statement,
        metrics=tuple(metrics),
        subgroup_metrics=heads,
        subgroups=tuple(
            parts.Subgroup(
                name, int(group.get("rows", 0)), tuple(_estimate(group.get("metrics", {}).get(head)) for head in heads)
            )
            for name, group in groups.items()
        ),
    )


def _configuration(found: Mapping[str, Any]) -> Mapping[str, Any]:
    for item in found.get("configuration", ()):
        if item.get("name") == "evaluation.json":
            read: Mapping[str, Any] = json.loads(base64.b64decode(item["content"]))
            return read
    return {}


def _estimate(measured: Mapping[str, Any] | None) -> parts.Estimate | None:
    if not measured or measured.get("value") is None:
        return None
    return parts.Estimate(measured["value"], measured.get("low"), measured.get("high"))


def scan(row: tables.Evidence) -> parts.Scan:
    """Read a scan report."""
    files: Sequence[Mapping[str, Any]] = row.details.get("files", ())
    findings = [f"{file['path']}: {file.get('reason') or 'failed'}" for file in files if not file.get("passed", False)]
    scanners = sorted({str(file["scanner"]) for file in files if file.get("scanner")})
    return parts.Scan(row.result == "PASSED", ", ".join(scanners), row.at, tuple(findings))


def approval(row: tables.Approval, names: Names, statement: str, assurance: str, at: datetime) -> parts.Approval:
    """Return an approval; what is past its end is shown as expired, whatever its row says."""
    is_expired = row.state == "active" and row.expires_at <= at
    return parts.Approval(
        role=Role(row.role),
        who=names.who(row.approver),
        meaning=row.meaning,
        at=row.approved_at,
        expires_at=row.expires_at,
        binding=assurance,
        statement=statement,
        state="expired" if is_expired else row.state,  # type: ignore[arg-type]  # a check constraint holds the rest
        reason=because_of(row.state_because),
        comment=row.comment,
        bound_to=bindings(row.binding),
        stands_in_for=names.who(row.stands_in_for) if row.stands_in_for else None,
        ticket=" · ".join(str(row.ticket[name]) for name in ("id", "state") if row.ticket.get(name)),
        obligations=tuple(
            parts.Obligation(
                one["text"], datetime.fromisoformat(one["dueAt"]),
                tuple(str(answer["said"]) for answer in row.answers if answer["number"] == number),
            )
            for number, one in enumerate(row.obligations, 1)
        ),
    )  # fmt: skip


def bindings(members: Mapping[str, Any]) -> tuple[parts.Binding, ...]:
    """Return what an approval is bound to, one line each."""
    pairs = [
        ("model", [members.get("version", "")]),
        ("dataset", members.get("datasets", [])),
        ("evidence", members.get("evidence", [])),
        ("policy", [members.get("policy", "")]),
        ("zone", [members.get("zone", "")]),
        ("tier", [members.get("tier") or ""]),
    ]
    return tuple(parts.Binding(what, str(value)) for what, values in pairs for value in values if value != "")


def signatures(
    found: Iterable[Statement], notary: Notary, names: Names, *, book: Book, at: datetime
) -> tuple[parts.Signature, ...]:
    """Verify each statement now, and say so, and whether it still stands by what is revoked; newest first."""
    newest = sorted(found, key=lambda row: row.signed_at, reverse=True)
    return tuple(_signature(row, notary, names.about(signer_of(row.identity)), book, at) for row in newest)


def _signature(row: Statement, notary: Notary, who: parts.Who | None, book: Book, at: datetime) -> parts.Signature:
    verified, wrong = _verified(row.bundle, tuple(row.subjects), _Same(notary))
    standing = book.standing(verified.marks, at=row.signed_at, now=at) if verified else None
    problem = wrong or (_fallen(standing) if standing else "")
    return parts.Signature(
        predicate=row.predicate_type,
        identity=row.identity,
        issuer=row.issuer,
        at=row.signed_at,
        log_index=verified.log_index if verified else None,
        statement=row.digest,
        is_verified=not problem,
        problem=problem,
        who=who,
    )


def _fallen(standing: Standing) -> parts.Phrase:
    """Say what was revoked, and whether the statement held when it was signed."""
    if standing.now.holds:
        return ""
    reason = Words(standing.now.reasons[0].because, standing.now.reasons[0].because)
    if standing.then.holds:
        return joined(words("It held when it was signed, and is revoked now"), reason)
    return joined(words("It is revoked, from before it was signed on"), reason)


class _Same:
    """A notary, compared by identity: it holds parsed keys that have no hash."""

    def __init__(self, notary: Notary) -> None:
        self.notary = notary

    def __hash__(self) -> int:
        return id(self.notary)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.notary is self.notary


@lru_cache(maxsize=1024)
def _verified(bundle: str, subjects: tuple[str, ...], by: _Same) -> tuple[VerifiedStatement | None, str]:
    """Return the statement, or None and what does not hold.

    The answer depends on these bytes and the trust root alone (a bundle carries its own time), so it is worked out
    once for the same bytes; gates verify anew (`governance.facts`).
    """
    try:
        expected = [Digest.parse(text) for text in subjects]
        return verify_bundle(bundle, by.notary.root, by.notary.policy(), expected), ""
    except SignatureInvalid as wrong:
        return None, wrong.detail


def files(version: ModelVersion, rules: PolicyBundle) -> tuple[parts.File, ...]:
    """Return the manifest, with what the formats' policy says of each file."""
    listed = []
    for file in version.files:
        says = rules.formats.by_name(str(file["path"]))
        verdict = str(file.get("verdict") or says.verdict.value)
        listed.append(
            parts.File(
                path=str(file["path"]),
                role=FileRole(file["role"]),
                format=str(file.get("format") or says.format),
                verdict=verdict if verdict in _VERDICTS else "refused",  # type: ignore[arg-type]  # one of three
                size=int(file["size"]),
                digest=str(file["digest"]),
            )
        )
    return tuple(listed)


def lineage(
    subject: str, nodes: Sequence[Node], deployments: Sequence[parts.Deployment], verified: Mapping[str, bool]
) -> parts.Lineage:
    """Draw a lineage from its roots to the deployments; *verified* says by reference whether its signatures hold."""
    sources = {parent for node in nodes for parent, role in node.made_from if role == "source"}
    drawn = [
        parts.LineageNode(
            ref=node.ref,
            kind="source" if node.ref in sources else node.kind,
            name=_shown(node),
            zone=node.zone,
            digest=node.digest,
            is_verified=verified.get(node.ref),
            is_subject=node.ref == subject,
            href=_page(node.ref),
        )
        for node in reversed(nodes)
    ]
    edges = [parts.LineageEdge(parent, node.ref, role) for node in nodes for parent, role in node.made_from]
    for one in deployments:
        name = one.endpoint.rpartition("/")[2] or short(one.ref.partition(":")[2])
        drawn.append(parts.LineageNode(one.ref, "deployment", name, one.zone, is_verified=verified.get(one.ref)))
        edges.append(parts.LineageEdge(subject, one.ref, "deployed"))
    return parts.Lineage(tuple(drawn), tuple(edges))


def _shown(node: Node) -> str:
    name = node.ref.partition(":")[2]
    return name.rpartition(":")[2][:16] if node.kind == "artifact" else name


def _page(ref: str) -> str:
    kind, _, path = ref.partition(":")
    namespace, _, rest = path.partition("/")
    model, _, number = rest.rpartition("@")
    return addresses.version(namespace, model, int(number)) if kind == "version" and number.isdigit() else ""


def residency(entries: Iterable[proofs.Entry], home: str, rules: PolicyBundle) -> tuple[parts.Residency, ...]:
    """Read the residency decisions out of ledger entries, newest first: what was refused, and what was allowed."""
    found = []
    for entry in entries:
        payload = entry.body.get("payload") or {}
        members = payload.get("members") or {}
        if payload.get("error") == _RESIDENCY_REFUSED:
            found.append(
                parts.Residency(
                    at=entry.at,
                    operation=str(members.get("movement", "")),
                    from_zone=str(members.get("from_zone", home)),
                    to_zone=str(members.get("to_zone", entry.zone)),
                    is_allowed=False,
                    rule=str(members.get("rule", "")),
                    reason=str(payload.get("detail", "")),
                    legal_basis=str(members.get("legal_basis", "")),
                    certainty=_certainty(members.get("certainty")),
                    index=entry.index,
                )
            )
        elif entry.kind in _MOVEMENTS:
            rule = rules.residency.transfers.rules.get(str(payload.get("rule", "")))
            found.append(
                parts.Residency(
                    at=entry.at,
                    operation=_MOVEMENTS[entry.kind],
                    from_zone=home,
                    to_zone=str(payload.get("to_zone", entry.zone)),
                    is_allowed=True,
                    rule=str(payload.get("rule", "")),
                    reason=rule.title if rule else "",
                    legal_basis=rule.basis if rule else "",
                    certainty=rule.certainty if rule else None,
                    index=entry.index,
                )
            )
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _certainty(value: object) -> Certainty | None:
    return Certainty(value) if isinstance(value, str) and value in set(Certainty) else None
