# SPDX-License-Identifier: Apache-2.0
"""The one process that gives committed events their place: index, chain, tiles and signed checkpoint in one commit.

It holds a session advisory lock on the very connection that it writes with, so whoever lost the lock cannot commit
either; a second sequencer stands by and takes over.  It never signs a tree that it has not re-derived from the stored
rows and that does not extend what is known outside the database.  Where that fails it halts: nothing is signed, the
ledger is read-only, the outbox keeps what waits, and it looks again until somebody has decided what happened.  A lost
or restarting database is waited for, and so is a clock that is off.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from audit import appending, continuity, direct, entries, halts, heads, stored
from audit.appending import Head
from audit.checkpoint import Checkpoint, NoteSigner, open_checkpoint, sign_checkpoint
from audit.clock import ClockGuard, ClockReading
from audit.epochs import Epoch, origin_of
from audit.heads import HeadKeeper
from khatim.errors import LedgerInvalid, Misconfigured, Unavailable

_STANDBY_S = 0.2  # how often a standing-by sequencer asks for the lock
_RECONNECT_S = 0.25
_HALTED_S = 1.0  # how often a halted one looks whether somebody has repaired the ledger
_log = logging.getLogger("khatim.sequencer")

# DELETE ... RETURNING takes whatever is committed and visible; never a cursor "id > last", which would miss
# transactions that took their id early and committed late (trust.md, B4).
_TAKE = """
WITH taken AS (
    DELETE FROM ledger_outbox WHERE id = ANY (ARRAY(SELECT id FROM ledger_outbox ORDER BY id LIMIT %s))
    RETURNING id, body, payload
) SELECT id, body, payload FROM taken ORDER BY id"""


@dataclass(frozen=True, slots=True)
class Lag:
    """The state of the last batch: ledger size after it, its number of events, age in seconds of its oldest event."""

    size: int = 0
    batch: int = 0
    seconds: float = 0.0
    is_leading: bool = False


@dataclass(frozen=True)
class Safeguards:
    """What a sequencer asks before it signs, beside the database.

    *keepers* know the ledger's head outside the database; *signer_of* gives the key of an epoch by its number, for a
    ledger that has more than one; *clock* judges the clock, whose reading stands in every checkpoint.
    """

    keepers: Sequence[HeadKeeper] = ()
    signer_of: Callable[[int], NoteSigner] | None = None
    clock: ClockGuard | None = None


@dataclass(slots=True)
class _Lead:
    """What a leading sequencer has in memory: the end of the ledger, its epochs, and the present one's signer."""

    head: Head
    signer: NoteSigner
    signed_at: datetime | None


class Sequencer:
    """Sequences the outbox of one database into one ledger; `run` in a process or thread of its own."""

    def __init__(  # noqa: PLR0913 - two of them tune, the others are what it is
        self,
        dsn: str,
        origin: str,
        signer: NoteSigner,
        safeguards: Safeguards | None = None,
        *,
        batch: int = 1000,
        poll_s: float = 0.02,
    ) -> None:
        """Take a psycopg connection string and the ledger's first origin, which must be the name of the signing key."""
        if signer.name != origin:
            raise Misconfigured(f"the ledger {origin!r} cannot be signed by a key named {signer.name!r}")
        self.origin = origin
        self.lag = Lag()
        self.halted: LedgerInvalid | None = None
        self._dsn, self._signer, self._batch, self._poll_s = dsn, signer, batch, poll_s
        self._safeguards = safeguards or Safeguards()
        self._conn: stored.Conn | None = None
        self._lead: _Lead | None = None

    def run(self, stop: threading.Event) -> None:
        """Sequence until *stop* is set; wait out a database that is gone, halt at a ledger that does not hold.

        Raises `Misconfigured` where waiting would not help: a proxy before the database, a key that is not there.
        """
        said = ""
        try:
            while not stop.is_set():
                try:
                    taken = self.run_once()
                except Unavailable as lost:
                    if said != str(lost):  # once, not four times a second
                        said = str(lost)
                        _log.warning("%s", said)
                    stop.wait(_RECONNECT_S)
                    continue
                except LedgerInvalid as wrong:
                    self._halt(wrong)
                    stop.wait(_HALTED_S)
                    continue
                said = ""
                if taken < self._batch:
                    stop.wait(self._poll_s if self.lag.is_leading else _STANDBY_S)
        finally:
            self.close()

    def run_once(self) -> int:
        """Sequence one batch and return its size; 0 when nothing waits or another sequencer leads.

        Raises `Unavailable` when the database cannot be reached or refuses (the next call connects anew),
        `LedgerInvalid` when the stored ledger does not re-derive, and `LedgerForked` when it does not extend a head
        that is known outside.
        """
        try:
            with direct.translated():
                if self._conn is None:
                    self._conn = direct.connect(self._dsn)
                if self._lead is None:
                    self._lead = self._take_lead(self._conn)
                return self._sequence(self._conn, self._lead) if self._lead else 0
        except BaseException:
            self.close()  # gives up the lock: whatever is in memory is derived anew before the next batch
            raise

    def close(self) -> None:
        """Give up the lead and the connection."""
        if self._conn is not None:
            self._conn.close()
        self._conn = self._lead = None
        self.lag = Lag(self.lag.size)

    def _halt(self, wrong: LedgerInvalid) -> None:
        """Make the ledger read-only and say so, once for each reason; what cannot be written is tried again."""
        if str(self.halted) != str(wrong):
            self.halted = wrong
            _log.critical("the ledger %s is read-only: %s", self.origin, wrong)
        try:
            with direct.translated(), direct.connect(self._dsn) as conn:
                halts.halt(conn, self.origin, wrong)
        except Unavailable as lost:
            _log.warning("that the ledger is read-only cannot be told to the servers: %s", lost)

    def _take_lead(self, conn: stored.Conn) -> _Lead | None:
        """Take the lock and derive the end of the ledger from its rows; None while another sequencer has the lock."""
        if not direct.take_lead(conn):
            return None
        epochs = continuity.stored_epochs(conn)
        signer = self._signer_of(epochs)
        head, last = self._restored(conn, signer)
        self._require_extends(conn, head.frontier.size, epochs)
        lead = _Lead(head, signer, last.at if last else None)
        if last:
            note = last.note
        else:
            reading = self._read_clock(lead)
            now = direct.value(conn.execute("SELECT clock_timestamp()"))
            with conn.transaction():
                _, note = self._append(
                    conn, lead, [(entries.genesis_body(self.origin, signer.vkey, now), None)], reading
                )
        self._keep(note)
        halts.lift(conn)
        self.halted = None
        self.lag = Lag(head.frontier.size, is_leading=True)
        _log.info("leading the ledger %s from size %d", signer.name, head.frontier.size)
        return lead

    def _signer_of(self, epochs: list[Epoch]) -> NoteSigner:
        """Return the signer of the last epoch; raises where the key at hand is not the one that it names."""
        if not epochs:
            return self._signer
        if epochs[0].origin != self.origin:
            raise LedgerInvalid(f"this is the ledger {epochs[0].origin}, not {self.origin}", place="entry 0")
        last = epochs[-1]
        signer = self._signer
        if last.number > 1:
            if self._safeguards.signer_of is None:
                raise Misconfigured(f"the ledger is in its epoch {last.number}, whose key this sequencer does not have")
            signer = self._safeguards.signer_of(last.number)
        if (signer.name, signer.vkey) != (origin_of(self.origin, last.number), last.vkey):
            raise LedgerInvalid(f"the key at hand is not the one of {last.origin}", place=f"entry {last.first}")
        return signer

    def _restored(self, conn: stored.Conn, signer: NoteSigner) -> tuple[Head, stored.StoredCheckpoint | None]:
        """Return the end of the ledger, derived from its rows, and its checkpoint; None for an empty ledger."""
        last = stored.checkpoint_at(conn)
        count = direct.value(conn.execute('SELECT coalesce(max("index") + 1, 0) FROM ledger_entries'))
        size = last.size if last else 0
        if count != size:
            raise LedgerInvalid(f"the ledger has {count} entries but a checkpoint of {size}", place="checkpoint")
        head = appending.head_at(conn, size)
        if last is None:
            return head, None
        signed = open_checkpoint(last.note, signer.name, [signer.verifier])
        root = head.frontier.root()
        if (signed.size, signed.root, last.root) != (size, root, root):
            raise LedgerInvalid(f"the stored tree does not have the root of checkpoint {size}", place="root")
        return head, last

    def _require_extends(self, conn: stored.Conn, size: int, epochs: list[Epoch]) -> None:
        verifiers = [self._signer.verifier, *(epoch.verifier for epoch in epochs[1:])]
        known, silent = heads.known_heads(self._safeguards.keepers, verifiers)
        for sentence in silent:
            _log.warning("%s", sentence)
        continuity.require_extends(conn, size, epochs, known)

    def _keep(self, note: str) -> None:
        """Tell the keepers what is committed; raises `Unavailable` when one that must know it cannot keep it."""
        for keeper in self._safeguards.keepers:
            try:
                keeper.keep(note)
            except Unavailable as lost:
                if keeper.must_answer:
                    raise
                _log.warning("%s does not keep the head: %s", keeper.name, lost)

    def _sequence(self, conn: stored.Conn, lead: _Lead) -> int:
        if not direct.value(conn.execute("SELECT EXISTS (SELECT FROM ledger_outbox)")):
            return 0  # one statement for the fifty looks a second at an empty outbox
        reading = self._read_clock(lead)  # before anything is taken: what cannot be signed stays in the outbox
        with conn.transaction():
            taken = conn.execute(_TAKE, (self._batch,), binary=True).fetchall()
            if not taken:
                return 0
            seconds, note = self._append(conn, lead, [(body, payload) for _, body, payload in taken], reading)
        self._keep(note)  # after the commit: the file may stand behind the database, never ahead of it
        self.lag = Lag(lead.head.frontier.size, len(taken), seconds, is_leading=True)
        return len(taken)

    def _read_clock(self, lead: _Lead) -> ClockReading | None:
        """Return how the clock stands; raises `ClockUnreliable` when nothing may be signed by it."""
        return self._safeguards.clock.check(lead.signed_at) if self._safeguards.clock else None

    def _append(
        self,
        conn: stored.Conn,
        lead: _Lead,
        events: list[tuple[bytes, bytes | None]],
        reading: ClockReading | None,
    ) -> tuple[float, str]:
        """Write the events and a checkpoint in the transaction of *conn*; return the oldest one's age and the note."""
        moments = appending.append(conn, lead.head, events)
        frontier = lead.head.frontier
        extensions = () if reading is None else (clock_line(reading),)
        checkpoint = Checkpoint(lead.signer.name, frontier.size, frontier.root(), extensions)
        note = sign_checkpoint(checkpoint, lead.signer)
        lead.signed_at = appending.add_checkpoint(conn, checkpoint.size, checkpoint.root, note)
        return max(0.0, (lead.signed_at - min(moments)).total_seconds()), note


def clock_line(reading: ClockReading) -> str:
    """Return the checkpoint's extension line: ``clock <source> <offset in ms, above 0 when ours is ahead>``."""
    return f"clock {reading.source} {round(reading.offset_s * 1000):+d}"
