# SPDX-License-Identifier: Apache-2.0
"""How judgements, ledgers and engagements are shown to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from khatim.cli.judgements import Check, Consent, Judgement, Station
from khatim.cli.output import cell, moment, plain, short

if TYPE_CHECKING:
    from audit.walk import LedgerReport
    from governance.reports.bundle import EngagementReport
    from governance.reports.vouching import Vouched

# What a kind of statement is called when it is read aloud; others are shown as they are written.
KINDS = {
    "https://khatim.dev/buildtypes/dataset-snapshot/v1": "provenance: dataset snapshot",
    "https://khatim.dev/buildtypes/feature-materialization/v1": "provenance: feature materialisation",
    "https://khatim.dev/buildtypes/training/v1": "provenance: training",
    "https://in-toto.io/attestation/test-result/v0.1": "test result",
    "https://model_signing/signature/v1.0": "model signature",
    "https://khatim.dev/attestations/approval/v1": "approval",
    "https://khatim.dev/attestations/deployment/v1": "deployment",
}
# What the ledger also says about a version, and nobody decided.
RECEIPTS = frozenset({"statement.admitted"})
GOOD, BAD = Text("✓", style="green"), Text("✗", style="bold red")


def show_judgement(screen: Console, found: Judgement, *, root: str) -> None:
    """Print every node with what is signed about it, the approvals, the decisions, and the verdict."""
    version = found.dossier.version
    screen.print(Text.assemble((version.ref, "bold"), f"  {version.stage}, {version.status}, tags {version.tags}"))
    screen.print(Text(f"trust root: {root}; instance {found.instance}", style="dim"))
    screen.print(Text(f"as of {moment(found.at)} UTC; revocations: {found.revocations}", style="dim"))
    for depth, station in enumerate(found.stations):
        _show_station(screen, station, depth)
    _show_consents(screen, found.consents)
    _show_deployments(screen, found)
    _show_decisions(screen, found.dossier.decisions)
    screen.print()
    for fault in found.faults:
        screen.print(BAD, Text(f"{fault.about}: {fault.why}"), soft_wrap=True)
        if fault.advice:
            screen.print(Text(f"  {fault.advice}", style="dim"), soft_wrap=True)
    if not found.faults:
        signed = sum(len(one.statements) for one in found.stations)
        screen.print(
            GOOD,
            Text(
                f"holds: {len(found.stations)} nodes from the model to the raw file, {signed} signed statements, "
                f"{len(found.consents)} approvals, every digest and binding"
            ),
            soft_wrap=True,
        )
    for sentence in found.fallen:
        screen.print(Text(f"! held then, does not hold now: {sentence}", style="yellow"), soft_wrap=True)
    idle = [one for one in found.consents if not one.counts]
    if idle:
        told = ", ".join(f"{one.approval.role} ({_state(one)})" for one in idle)
        screen.print(Text(f"! approvals that do not count now: {told}", style="yellow"), soft_wrap=True)


def show_ledger(screen: Console, report: LedgerReport, *, vkey: str, source: str) -> None:
    """Print what a verified ledger holds."""
    _show_members(
        screen,
        {
            "origin": report.origin,
            "verifier key": f"{vkey}, {source}",
            "entries": str(report.size),
            "root": report.root.hex(),
            "head of the chain": report.head.hex() or "not derived",
            **({"entries not read": str(report.skipped)} if report.skipped else {}),
            "first": moment(report.first_at),
            "last": moment(report.last_at),
            "kinds": _counted(report.kinds),
        },
    )
    if report.skipped:
        text = "holds: tree, tiles and signed checkpoint re-derive from the entries; links and events were not read"
    else:
        text = "holds: chain, tree, tiles and signed checkpoint re-derive from the entries, and every event is JSON"
    screen.print(GOOD, Text(text))


def show_engagement(screen: Console, report: EngagementReport) -> None:
    """Print what a verified engagement is, on whose word, and what its verification did not show."""
    _show_members(
        screen,
        {
            "about": f"{report.subject}, {report.digest}",
            "exported": f"{moment(report.created_at)} by {report.created_by}",
            "signed": f"{moment(report.signed_at)} by {report.identity}",
            "policy": str(report.policy),
            "trust root": f"{report.trust}, {report.trust_root}",
            "verifier key": report.vkey,
            "revocations": report.revocations or "none in this format",
            "ledger": f"{report.ledger.size} entries, root {report.ledger.root.hex()}",
            "witnessed by": _witnesses(report.vouched, report.ledger.size),
            "time": "; ".join(one.told for one in report.vouched.times) or "no timestamp lies there",
            "populations": _counted(report.populations),
        },
    )
    screen.print(
        GOOD, Text(f"holds: {report.files} files, {report.statements} signed statements, every byte"), soft_wrap=True
    )
    for one in report.statements_found:
        mark = GOOD if one.now_holds else BAD
        told = f"{one.file}: {KINDS.get(one.kind, one.kind)}, rests on: {one.rests}"
        screen.print(mark, Text(told), soft_wrap=True)
        if not (one.then_holds and one.now_holds):
            state = "held at its export, does not hold now" if one.then_holds else "did not hold at its export"
            screen.print(Text(f"        {state}: {one.why} {one.advice}", style="red"), soft_wrap=True)
    for sentence in report.caveats:
        screen.print(Text(f"! {sentence}", style="yellow"), soft_wrap=True)


def _witnesses(vouched: Vouched, size: int) -> str:
    names = ", ".join(sorted(vouched.witnesses)) or "nobody that you named"
    return f"{names}; {vouched.quorum} wanted, met for the first {vouched.witnessed} of {size} entries"


def _show_members(screen: Console, members: Mapping[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in members.items():
        table.add_row(title, Text(value))
    screen.print(table)


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in numbers.items())


def _show_station(screen: Console, station: Station, depth: int) -> None:
    node = station.node
    screen.print()
    arrow = "" if depth == 0 else "↳ "
    screen.print(Text.assemble(arrow, (node.ref, "bold cyan"), f"  zone {node.zone or 'unknown'}"))
    screen.print(Text(f"    digest {node.digest or 'unknown'}"), soft_wrap=True)
    for parent, role in node.made_from:
        screen.print(Text(f"    made from {parent} ({role})"), soft_wrap=True)
    for one in station.statements:
        _show_check(
            screen, one.check, f"{KINDS.get(one.kind, one.kind)} by {one.identity}, signed {moment(one.signed_at)}"
        )
        screen.print(Text(f"        rests on: {one.rests}", style="dim"), soft_wrap=True)
    for check in station.checks:
        _show_check(screen, check, check.about)


def _show_check(screen: Console, check: Check, words: str) -> None:
    screen.print("   ", GOOD if check.holds else BAD, Text(words), soft_wrap=True)
    if not check.holds:
        screen.print(Text(f"        {check.why} {check.advice}".rstrip(), style="red"), soft_wrap=True)


def _show_consents(screen: Console, consents: Sequence[Consent]) -> None:
    if not consents:
        return
    screen.print()
    table = Table(title="Approvals", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for title in ("", "role", "approver", "state", "until", "bound to", "rests on", "policy"):
        table.add_column(title, overflow="fold")
    for one in consents:
        bound = [check.about for check in one.checks if check.holds]
        table.add_row(
            GOOD if all(check.holds for check in one.checks) else BAD,
            one.approval.role,
            one.approval.approver,
            _state(one),
            moment(one.approval.expires_at),
            cell(bound),
            cell([basis.value for basis in one.bases]),
            short(str(one.approval.binding.get("policy", ""))),
        )
    screen.print(table)


def _state(consent: Consent) -> str:
    if consent.is_expired:
        return "expired"
    if not consent.is_given:
        return "not given yet"
    approval = consent.approval
    return f"{approval.state}: {approval.state_because}" if approval.state_because else approval.state


def _show_deployments(screen: Console, found: Judgement) -> None:
    if not found.dossier.deployments:
        return
    screen.print()
    table = Table(title="Deployments", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for title in ("zone", "state", "because", "endpoint"):
        table.add_column(title, overflow="fold")
    for one in found.dossier.deployments:
        table.add_row(one.zone, one.state, cell(one.because), cell(one.endpoint))
    screen.print(table)


def _show_decisions(screen: Console, decisions: Sequence[dict[str, Any]]) -> None:
    if not decisions:
        return
    screen.print()
    table = Table(title="Decisions in the ledger", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for title in ("entry", "what", "by", "rule", "basis", "certainty", "why"):
        table.add_column(title, overflow="fold")
    for one in decisions:
        if one["kind"] in RECEIPTS:
            continue
        payload = one["body"].get("payload", {})
        members = {**payload, **payload.get("members", {})}
        unmet = members.get("unmet", [])
        style = "red" if str(one["kind"]).endswith(".refused") else ""
        table.add_row(
            str(one["index"]),
            str(one["kind"]),
            str(one["actor"]),
            *(_said(members, unmet, key) for key in ("rule", "legal_basis", "certainty")),
            cell(payload.get("detail") or payload.get("because", "")),
            style=style,
        )
    screen.print(table)


def _said(members: Mapping[str, Any], unmet: Sequence[Mapping[str, Any]], key: str) -> Text:
    """Return one member of a decision; a gate says it once for each requirement that is not met."""
    each = dict.fromkeys(str(one[key]) for one in unmet if one.get(key))
    return cell(members.get(key) or "; ".join(each))


def judgement_as_json(found: Judgement, *, root: str) -> dict[str, Any]:
    """Return a judgement for programs: every claim with whom it rests on, whether it held, and whether it holds."""
    return {
        "version": found.dossier.version.ref,
        "digest": found.dossier.version.digest,
        "instance": found.instance,
        "trust_root": root,
        "at": found.at.isoformat(),
        "revocations": found.revocations,
        "holds": not found.faults,
        "faults": [plain(one) for one in found.faults],
        "fallen": list(found.fallen),
        "claims": [
            {
                "about": station.node.ref,
                "kind": one.kind,
                "identity": one.identity,
                "signed_at": one.signed_at.isoformat(),
                "rests_on": [basis.value for basis in one.bases],
                "told": one.rests,
                "then": one.check.holds,
                "now": one.check.holds if one.standing is None else one.standing.now.holds,
                "why": one.check.why or one.now,
                "advice": one.check.advice,
            }
            for station in found.stations
            for one in station.statements
        ],
        "evidence": [
            {"about": check.about, "holds": check.holds, "why": check.why, "rests_on": [basis.value for basis in bases]}
            for check, bases in found.evidence
        ],
        "approvals": [
            {
                "role": one.approval.role,
                "approver": one.approval.approver,
                "state": _state(one),
                "counts": one.counts,
                "rests_on": [basis.value for basis in one.bases],
            }
            for one in found.consents
        ],
    }
