# SPDX-License-Identifier: Apache-2.0
"""The publisher: takes the latest checkpoint every few seconds to those who can vouch for it, and keeps what they say.

It runs beside the sequencer on a connection of its own: a witness that is slow or away holds up no entry.  Witnesses
first, then the timestamp, then the copy that nobody can overwrite.  What is missing is asked for again in the next
round; what was given stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg

from audit import endorsements, export, stored
from audit.endorsements import COPY, COSIGNATURE, TIMESTAMP
from audit.stored import Conn, StoredCheckpoint
from audit.witness_client import WitnessClient
from audit.worm import Copies
from khatim.errors import KhatimError, LedgerForked, Unavailable

Stamper = Callable[[bytes], bytes]
"""``stamp(note)``: the TimeStampResp (DER) over a note's bytes; raises `Unavailable`."""
_CONNECT_S = 5
_log = logging.getLogger("khatim.publisher")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: the checkpoint's size, what was added (kind and who), and a sentence for each failure."""

    size: int
    added: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publishing:
    """To whom checkpoints go: witnesses, timestamp authorities by name, and copies."""

    witnesses: Sequence[WitnessClient] = ()
    stampers: Mapping[str, Stamper] = field(default_factory=dict)
    copies: Sequence[Copies] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody to tell."""
        return not (self.witnesses or self.stampers or self.copies)


class Publisher:
    """Publishes the checkpoints of one database; `run` in a thread of its own."""

    def __init__(self, dsn: str, to: Publishing, *, period_s: float = 5.0) -> None:
        """Take the connection string of the sequencer's role, and to whom."""
        self._dsn, self._to, self._period_s = dsn, to, period_s
        self._said: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Publish until *stop* is set; whatever fails is said once and tried again."""
        while not stop.wait(self._period_s):
            try:
                done = self.publish_once()
                faults = set(done.faults)
            except KhatimError as wrong:
                faults = {str(wrong)}
            for fault in faults - self._said:  # once, not every few seconds
                _log.error("%s", fault)
            self._said = faults

    def publish_once(self) -> Round:
        """Publish the latest checkpoint; raises `Unavailable` when the database does not answer."""
        try:
            with psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name="khatim-publisher"
            ) as conn:
                latest = stored.checkpoint_at(conn)
                return self._publish(conn, latest) if latest else Round(0)
        except psycopg.Error as lost:
            raise Unavailable(f"the database does not answer the publisher: {lost}") from lost

    def _publish(self, conn: Conn, at: StoredCheckpoint) -> Round:
        known = {(one.kind, one.who) for one in endorsements.of_size(conn, at.size)}
        added, faults = list[tuple[str, str]](), list[str]()

        def keep(kind: str, who: str, data: bytes) -> None:
            if (kind, who) not in known:
                endorsements.add(conn, at.size, kind, who, data)
                added.append((kind, who))

        for lines, fault in self._cosigned(conn, at, known):
            for vkey, line in lines:
                keep(COSIGNATURE, vkey, line.encode())
            faults += [fault] if fault else []
        for name, stamp in self._to.stampers.items():
            if (TIMESTAMP, name) not in known:
                try:
                    keep(TIMESTAMP, name, stamp(at.note.encode()))
                except KhatimError as wrong:
                    faults.append(f"no timestamp of {name}: {wrong}")
        faults += self._copied(conn, at, known, keep)
        return Round(at.size, tuple(added), tuple(faults))

    def _cosigned(
        self, conn: Conn, at: StoredCheckpoint, known: set[tuple[str, str]]
    ) -> list[tuple[list[tuple[str, str]], str]]:
        """Ask every witness that has not cosigned this checkpoint, all at once; return their lines or a sentence."""
        asked = [
            one for one in self._to.witnesses if not all((COSIGNATURE, key.vkey) in known for key in one.verifiers)
        ]
        if not asked:
            return []
        lock = threading.Lock()  # a connection serves one thread at a time

        def prove(old: int) -> list[bytes]:
            with lock:
                return export.consistency(conn, old, at.size)

        def submit(one: WitnessClient) -> tuple[list[tuple[str, str]], str]:
            try:
                with lock:
                    last = max(endorsements.last_size(conn, COSIGNATURE, key.vkey) for key in one.verifiers)
                return one.submit(at.note, min(last, at.size), prove), ""
            except LedgerForked as fork:
                return [], f"ALARM: {fork}"
            except KhatimError as wrong:
                return [], str(wrong)

        with ThreadPoolExecutor(max_workers=min(len(asked), 16), thread_name_prefix="khatim-witness") as pool:
            return list(pool.map(submit, asked))

    def _copied(
        self, conn: Conn, at: StoredCheckpoint, known: set[tuple[str, str]], keep: Callable[[str, str, bytes], None]
    ) -> list[str]:
        faults = []
        for copies in self._to.copies:
            if (COPY, copies.name) in known:
                continue
            tokens = [(one.who, one.data) for one in endorsements.of_size(conn, at.size) if one.kind == TIMESTAMP]
            try:
                address = copies.put(at.size, endorsements.cosigned_note(conn, at), tokens)
            except KhatimError as wrong:
                faults.append(str(wrong))
            else:
                keep(COPY, copies.name, address.encode())
        return faults
