# SPDX-License-Identifier: Apache-2.0
"""Policy changes: proposed by one person, put in force by another, never edited.

The activation is signed over the digest that decisions and approvals name; rules whose row says something else than
its statement are not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import queries
from governance.court import Court
from governance.policy_events import PolicyActivated, PolicyLoaded, PolicyProposed, PolicyWithdrawn
from governance.policy_tables import ACTIVE, REQUESTED, PolicyChange, PolicyLoad
from governance.tables import Approval
from khatim.errors import Conflict, Malformed, Misconfigured, SeparationOfDuties, SignatureInvalid
from khatim.vocabulary import Action, Digest, Resource
from khatim.wire import rules as wire
from policies import simulation
from policies.loading import PolicyBundle
from policies.requirements import Separation
from registry import accounts, standing
from registry.notary import Notary
from registry.signing import statements
from registry.tables import Statement

_LOCK = "policy.change"


def read(files: Mapping[str, str]) -> PolicyBundle:
    """Return the rules that *files* make over the shipped ones; raises `Malformed` with file, line and key."""
    try:
        return PolicyBundle.of_files(files)
    except Misconfigured as wrong:
        raise Malformed(wrong.detail, advice="Correct the file and propose it again.") from wrong


def propose(tx: Transaction, body: wire.ProposePolicy, *, rules: PolicyBundle) -> PolicyChange:
    """Propose *body*'s files as the whole overlay; another person must put it in force.

    Raises `Malformed` for rules that contradict themselves or lock everybody out, `Conflict` for those in force.
    """
    proposed = read(body.files)
    row = PolicyChange(
        id=tx.new_id(),
        files=dict(body.files),
        digest=str(proposed.digest),
        base=str(rules.digest),
        reason=body.because,
        ticket=body.ticket,
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        state=REQUESTED,
    )
    tx.require(Action.POLICY_PROPOSE, row.resource)
    _must_differ(proposed, rules)
    if shut := simulation.doors_shut(proposed):
        raise Malformed(
            f"under these rules nobody could do {', '.join(shut)} any more",
            advice="Leave somebody who can change the rules back.",
        )
    tx.add(row)
    tx.record(
        PolicyProposed(
            about=row.ref, base=row.base, digest=row.digest, files=digests_of(row.files), reason=row.reason,
            ticket=row.ticket,
        )
    )  # fmt: skip
    return row


def approve(tx: Transaction, name: str, *, because: str, notary: Notary, rules: PolicyBundle) -> PolicyChange:
    """Put a proposal in force, on every worker within seconds.

    Raises `SeparationOfDuties` for whoever proposed it, `Conflict` when the rules changed since it was proposed.
    """
    tx.lock(_LOCK)
    row = queries.identified(tx, PolicyChange, name, for_update=True)
    tx.require(Action.POLICY_APPROVE, row.resource)
    if row.state != REQUESTED:
        raise Conflict(f"the policy change is {row.state}")
    if accounts.is_actor(tx, row.requested_by):
        source = rules.gates.separation[Separation.REQUESTER]
        raise SeparationOfDuties(
            "You proposed these rules, so you may not put them in force.", advice=source.advice,
            rule=Separation.REQUESTER.value, legal_basis=source.basis, policy=str(rules.digest),
        )  # fmt: skip
    before = active(tx)
    if row.base != str(rules.digest) or (before is not None and before.digest != row.base):
        raise Conflict(
            "the rules have changed since this was proposed", advice="Look at what is in force, and propose again."
        )
    if str(read(row.files).digest) != row.digest:
        raise Conflict("the shipped rules have changed since this was proposed", advice="Propose it again.")
    if before is not None:
        before.state, before.ended_by, before.ended_at = "superseded", tx.actor.ref, tx.now
    terms = terms_of(row, approved_by=tx.actor.ref, approved_at=tx.now)
    who, subject = notary.person(tx.actor.ref), ("policy-bundle", Digest.parse(row.digest))
    statement = notary.attest(tx, row.ref, who, statements.POLICY, [subject], terms)
    row.approved_by, row.approved_at, row.statement_id = tx.actor.ref, tx.now, statement.id
    row.state, row.because = ACTIVE, because
    tx.record(
        PolicyActivated(
            about=row.ref, also=(before.ref,) if before else (), replaces=row.base, digest=row.digest,
            files=digests_of(row.files), because=because, ticket=row.ticket, statement=str(statement.id),
            approvals=approvals_bound_to(tx, row.base),
        )
    )  # fmt: skip
    return row


def withdraw(tx: Transaction, name: str, *, because: str) -> PolicyChange:
    """Take a proposal back, or turn somebody else's down."""
    row = queries.identified(tx, PolicyChange, name, for_update=True)
    tx.require(Action.POLICY_WITHDRAW, row.resource)
    if row.state != REQUESTED:
        raise Conflict(f"the policy change is {row.state}", advice="Propose the rules that should be in force.")
    row.state, row.because, row.ended_by, row.ended_at = "withdrawn", because, tx.actor.ref, tx.now
    tx.record(PolicyWithdrawn(about=row.ref, digest=row.digest, because=because))
    return row


def active(reader: Reader) -> PolicyChange | None:
    """Return the change in force, None while only the configured overlay is; no permission is asked: workers must."""
    found: PolicyChange | None = reader.scalar(select(PolicyChange).where(PolicyChange.state == ACTIVE))
    return found


def tell_loaded(tx: Transaction, rules: PolicyBundle, change: str) -> None:
    """Record that workers apply *rules* from now on, if the last that were told are others."""
    tx.lock("policy.loaded")
    last: PolicyLoad | None = tx.scalar(select(PolicyLoad).order_by(PolicyLoad.id.desc()).limit(1))
    if last is not None and (last.digest, last.change) == (str(rules.digest), change):
        return
    tx.add(PolicyLoad(id=tx.new_id(), digest=str(rules.digest), change=change, loaded_at=tx.now))
    before = last.digest if last else ""
    tx.record(PolicyLoaded(about="policy:bundle", digest=str(rules.digest), replaces=before, change=change))


def overlay_of(reader: Reader, rules: PolicyBundle) -> wire.Overlay:
    """Return the texts that lie over the shipped rules, as this worker applies them."""
    reader.require(Action.READ, Resource("policy", "bundle"))
    row = active(reader)
    is_loaded = row is not None and row.digest == str(rules.digest)
    return wire.Overlay(
        digest=str(rules.digest), change=str(row.id) if row and is_loaded else "", files=dict(rules.overlay)
    )


def approvals_bound_to(reader: Reader, policy: str) -> int:
    """Return how many active approvals name the rules *policy*: others void them all."""
    bound = Approval.binding["policy"].astext == policy
    return int(reader.scalar(select(func.count()).where(Approval.state == "active", bound)) or 0)


def verified(reader: Reader, row: PolicyChange, notary: Notary) -> PolicyChange:
    """Return *row* if its approver's signed statement, which stands, says the same; raises `SignatureInvalid`."""
    said: Statement | None = reader.scalar(select(Statement).where(Statement.id == row.statement_id))
    if said is None or row.approved_by is None or row.approved_at is None:
        raise SignatureInvalid(f"{row.ref} is in force and nobody signed it")
    checked = Court(notary, standing.book_of(reader), reader.now).check(
        said, statements.POLICY, [Digest.parse(row.digest)]
    )
    terms = terms_of(row, approved_by=row.approved_by, approved_at=row.approved_at)
    if checked.speaker != notary.person(row.approved_by) or dict(checked.predicate) != terms:
        raise SignatureInvalid(
            f"{row.ref} says something else than its approver signed",
            advice="Somebody changed the database: look at the ledger's entries about it.",
        )
    return row


def terms_of(row: PolicyChange, *, approved_by: str, approved_at: datetime) -> dict[str, Any]:
    """Return what the approver of *row* signs."""
    return {
        "approver": approved_by,
        "requester": row.requested_by,
        "change": str(row.id),
        "policy": row.digest,
        "replaces": row.base,
        "files": digests_of(row.files),
        "reason": row.reason,
        "ticket": row.ticket,
        "approvedAt": moment(approved_at),
    }


def digests_of(files: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each text by name."""
    return {name: str(Digest.of(text.encode())) for name, text in sorted(files.items())}


def _must_differ(proposed: PolicyBundle, rules: PolicyBundle) -> None:
    if proposed.digest == rules.digest:
        raise Conflict("these rules are in force already", advice="Comments and spacing change nothing.")
