# SPDX-License-Identifier: Apache-2.0
"""Epochs: how a ledger goes on after entries were lost for good, without contradicting what it signed before.

One log is one origin and one key, and it may never sign two histories (C2SP tlog-checkpoint).  So a ledger that lost
its end does not go on under its old name: the entries that are left become the first ones of a new log, whose next
entry commits to the old log's highest known checkpoint and names what is missing.  The old key signs the new key over
(`Handover`), so whoever pinned the old one can follow; an entry that says so without that signature is an event like
any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from audit.canonical import canonical
from audit.checkpoint import Checkpoint, NoteSigner, NoteVerifier, open_checkpoint, open_note, sign_note
from audit.entries import GENESIS
from audit.events import moment
from khatim.errors import LedgerInvalid, Malformed

OPENED = "ledger.epoch_opened"
_HANDOVER = "khatim ledger handover v1"  # no tree size on its second line, so it can never pass for a checkpoint


@dataclass(frozen=True, slots=True)
class Loss:
    """What a recovery could not bring back, and who decided to go on without it.

    *old_note* is the highest known checkpoint of the log before, *lost_to* its size; the entries [lost_from, lost_to)
    are gone.  *requested_by* and *confirmed_by* are two people's opaque references.
    """

    old_note: str
    lost_from: int
    lost_to: int
    reason: str
    requested_by: str
    confirmed_by: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """One log of a ledger: its number (from 1), origin and key, its first entry, and what was lost before it."""

    number: int
    origin: str
    vkey: str
    first: int
    loss: Loss | None = None

    @property
    def verifier(self) -> NoteVerifier:
        """The verifier of this epoch's checkpoints."""
        return NoteVerifier.parse(self.vkey)


def origin_of(base: str, number: int) -> str:
    """Return the origin of epoch *number* of the ledger that began as *base*."""
    return base if number == 1 else f"{base}/{number}"


def base_of(origin: str) -> str:
    """Return the origin of the first epoch of the ledger that *origin* belongs to."""
    base, slash, number = origin.rpartition("/")
    return base if slash and number.isascii() and number.isdigit() else origin


def opening_body(epoch: Epoch, old: NoteSigner, at: datetime) -> bytes:
    """Return the body of the entry that opens *epoch*, its key signed over by the *old* one."""
    loss = epoch.loss
    if loss is None:
        raise Malformed("an epoch after the first begins with what was lost")
    payload = {
        "confirmed_by": loss.confirmed_by,
        "epoch": epoch.number,
        "handover": sign_note(_handover_text(epoch, loss), old),
        "lost_from": loss.lost_from,
        "lost_to": loss.lost_to,
        "old_checkpoint": loss.old_note,
        "origin": epoch.origin,
        "reason": loss.reason,
        "requested_by": loss.requested_by,
        "vkey": epoch.vkey,
    }
    return canonical(
        {
            "actor": "service:khatim",
            "at": moment(at),
            "entity": "",
            "kind": OPENED,
            "namespace": "",
            "payload": payload,
            "resource": f"ledger:{epoch.origin}",
            "version": 1,
            "zone": "",
        }
    )


def first_of(event: Mapping[str, Any]) -> Epoch | None:
    """Return the epoch that entry 0 opens; None if it does not open a ledger."""
    payload = event.get("payload")
    if event.get("kind") != GENESIS or not isinstance(payload, dict) or set(payload) != {"origin", "vkey"}:
        return None
    return _named(Epoch(1, str(payload["origin"]), str(payload["vkey"]), 0))


def next_of(event: Mapping[str, Any], index: int, before: Epoch) -> Epoch | None:
    """Return the epoch that the entry at *index* opens after the epoch *before*; None for any other entry.

    Only what the key before has signed over counts: number, loss and the new key have to be those that stand in the
    handover.  The old checkpoint is one of the log before; or, where a whole epoch was lost with the entry that opened
    it, one of that epoch, for which the handover alone vouches.
    """
    payload = event.get("payload")
    if event.get("kind") != OPENED or not isinstance(payload, dict):
        return None
    try:
        names = ("old_checkpoint", "lost_from", "lost_to", "reason", "requested_by", "confirmed_by")
        loss = Loss(*(payload[name] for name in names))
        epoch = Epoch(payload["epoch"], str(payload["origin"]), str(payload["vkey"]), index, loss)
        signed = open_note(payload["handover"], [before.verifier])
        old = _closing(epoch, loss, before)
        follows = epoch.number > before.number and 0 <= loss.lost_from <= index and loss.lost_from < loss.lost_to
        if not follows or loss.lost_to != old.size or signed != _handover_text(epoch, loss):
            return None
    except (KeyError, TypeError, AttributeError, LedgerInvalid, Malformed):
        return None
    return None if loss.requested_by == loss.confirmed_by else _named(epoch)


def _closing(epoch: Epoch, loss: Loss, before: Epoch) -> Checkpoint:
    if epoch.number == before.number + 1:
        return open_checkpoint(loss.old_note, before.origin, [before.verifier])
    return Checkpoint.parse(loss.old_note.rpartition("\n\n")[0] + "\n")


def _handover_text(epoch: Epoch, loss: Loss) -> str:
    said = canonical({"from": loss.lost_from, "people": [loss.requested_by, loss.confirmed_by], "reason": loss.reason})
    lines = (
        _HANDOVER,
        f"epoch {epoch.number} from {loss.lost_from}",
        epoch.origin,
        epoch.vkey,
        sha256(loss.old_note.encode()).hexdigest(),
        sha256(said).hexdigest(),
    )
    return "".join(f"{line}\n" for line in lines)


def _named(epoch: Epoch) -> Epoch | None:
    """Return *epoch* if its key can be read and bears the name of its log."""
    try:
        return epoch if epoch.verifier.name == epoch.origin else None
    except Malformed:
        return None


def epoch_of(epochs: Iterable[Epoch], size: int) -> Epoch | None:
    """Return the epoch whose key signs checkpoints of *size*; None if there is none."""
    fitting = [epoch for epoch in epochs if epoch.first < size]
    return fitting[-1] if fitting else None


def trusted(epochs: Iterable[Epoch], vkey: str) -> list[Epoch]:
    """Return the epoch with the pinned key *vkey* and those that its key was handed over to; none for a strange key.

    The last one's key signs the present checkpoint.
    """
    found = list(epochs)
    known = [at for at, epoch in enumerate(found) if epoch.vkey == vkey]
    return found[known[0] :] if known else []
