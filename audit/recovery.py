# SPDX-License-Identifier: Apache-2.0
"""The sanctioned way out of a ledger that lost its end: what was lost, what would be done, and two people for it.

One person asks for a plan to be carried out, another confirms exactly that plan; both stand in the ledger.  Entries
that prove against the checkpoint known outside are put back as they were.  Otherwise a new epoch begins, whose first
entry commits to that checkpoint and names what is missing (`audit.epochs`).
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import select

from audit import epoch_tables
from audit.canonical import canonical
from audit.epochs import Loss
from audit.recovery_events import RecoveryConfirmed, RecoveryRequested
from audit.transaction import Transaction
from khatim.errors import Conflict, Malformed, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Digest, Resource

_table = epoch_tables.recoveries


class Way(StrEnum):
    """How a ledger can go on: as it is, with the lost entries put back, or in a new epoch without them."""

    NOTHING = "nothing"
    IMPORT = "import"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found and what would be done.  Nothing of it changes while the ledger stands still.

    *size* and *root* are the stored ledger's, *known_size* and *known_note* the highest checkpoint's that *keeper*
    holds; the entries [lost_from, lost_to) are missing.  *next_origin* and *next_vkey* name a new epoch's log.
    """

    way: Way
    origin: str
    size: int
    root: str
    keeper: str = ""
    known_size: int = 0
    known_note: str = ""
    lost_from: int = 0
    lost_to: int = 0
    next_number: int = 0
    next_origin: str = ""
    next_vkey: str = ""

    def body(self) -> bytes:
        """Return the plan as canonical JSON: what is asked for and confirmed."""
        return canonical({**asdict(self), "way": self.way.value})

    @property
    def resource(self) -> Resource:
        """What the plan changes."""
        return Resource("ledger", self.origin)


@dataclass(frozen=True, slots=True)
class Decided:
    """Two people's decision for one plan."""

    requested_by: str
    confirmed_by: str
    reason: str

    def loss(self, plan: Plan) -> Loss:
        """Return what the entry that opens a new epoch says."""
        return Loss(plan.known_note, plan.lost_from, plan.lost_to, self.reason, self.requested_by, self.confirmed_by)


def request(tx: Transaction, plan: Plan, *, because: str) -> uuid.UUID:
    """Ask for *plan* to be carried out; raises `Conflict` when there is nothing to do."""
    tx.require(Action.LEDGER_RECOVER, plan.resource)
    if plan.way is Way.NOTHING:
        raise Conflict("the ledger extends everything that is known outside of it: there is nothing to recover")
    if not because.strip():
        raise Malformed("say why: the reason stands in the ledger for ever")
    number = tx.new_id()
    row = {"id": number, "plan": plan.body(), "reason": because.strip(), "requested_by": tx.actor.ref}
    tx.execute(_table.insert().values(**row, requested_at=tx.now))
    tx.record(
        RecoveryRequested(
            about=str(plan.resource),
            recovery=str(number),
            plan=str(Digest.of(plan.body())),
            way=plan.way.value,
            lost_from=plan.lost_from,
            lost_to=plan.lost_to,
            because=because.strip(),
        )
    )
    return number


def confirm(tx: Transaction, number: uuid.UUID, plan: Plan) -> Decided:
    """Confirm the recovery *number*, which has to be for the plan as it stands now; it may be carried out then.

    Raises `SeparationOfDuties` for the person who asked, `Conflict` when something has changed since.
    """
    tx.require(Action.LEDGER_RECOVER, plan.resource)
    found = tx.rows(select(_table.c.plan, _table.c.reason, _table.c.requested_by).where(_table.c.id == number))
    if not found:
        raise NotFound(f"nobody asked for the recovery {number}")
    asked, reason, requested_by = found[0]
    if requested_by == tx.actor.ref:
        raise SeparationOfDuties(
            "whoever asked for a recovery does not confirm it", advice="Ask a second person to confirm it."
        )
    if bytes(asked) != plan.body():
        raise Conflict("the ledger is not as it was when this was asked for", advice="Look at it and ask anew.")
    tx.record(
        RecoveryConfirmed(
            about=str(plan.resource),
            recovery=str(number),
            plan=str(Digest.of(plan.body())),
            requested_by=requested_by,
        )
    )
    return Decided(requested_by, tx.actor.ref, reason)
