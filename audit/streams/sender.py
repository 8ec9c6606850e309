# SPDX-License-Identifier: Apache-2.0
"""The sender of one sink: reads on from its cursor, sends, and moves the cursor only when that is acknowledged.

One sender a sink, by an advisory lock of its session: whoever is killed gives it up, and the next goes on from the
cursor, so that what was sent and not yet noted goes out again.  At least once, never less; a receiver knows what it
has twice by the index.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from audit import direct, stored
from audit.streams.messages import Heartbeat, Message, Withheld, told
from audit.streams.transports import Transport
from khatim.errors import KhatimError, Unavailable
from khatim.vocabulary import Decision

Judge = Callable[[str, str], Decision]
"""``judge(zone of an entry, zone of the sink)``: may it go there?  An entry of the registry itself has no zone."""
Opener = Callable[[Mapping[str, Any]], Transport]
"""Makes the way to the receiver of a row of ``sinks``."""
BATCH = 500
HEARTBEAT_S = 60.0
_LOCK = 0x4B_48_53
_IDLE_S, _PATIENCE_S, _MOST_S = 0.5, 0.5, 60.0
_log = logging.getLogger("khatim.streams")


@dataclass
class Sender:
    """Sends one ledger to one sink; `run` in a thread of its own."""

    dsn: str
    sink: uuid.UUID
    origin: str
    judge: Judge
    opener: Opener
    batch: int = BATCH
    heartbeat_s: float = HEARTBEAT_S
    _transport: Transport | None = field(default=None, init=False)
    _said_at: float = field(default=-1e9, init=False)
    _again: int = field(default=0, init=False)

    def run(self, stop: threading.Event) -> None:
        """Send until *stop* is set or the sink is not active any more; waits longer after each failure."""
        patience, said = _PATIENCE_S, ""
        while not stop.is_set():
            try:
                with direct.translated(), self._connection() as conn:
                    if not self._lead(conn):
                        stop.wait(_IDLE_S)  # another process sends
                        continue
                    while not stop.is_set():
                        count = self.send_once(conn)
                        if count is None:
                            return
                        patience, said = _PATIENCE_S, ""
                        if not count:
                            stop.wait(_IDLE_S)
            except KhatimError as wrong:
                self.close()
                self._note(str(wrong))
                if str(wrong) != said:
                    said = str(wrong)
                    _log.warning("sink %s: %s", self.sink, said)
                stop.wait(max(patience, _seconds(wrong)))
                patience = min(2 * patience, _MOST_S)
        self.close()

    def send_once(self, conn: stored.Conn) -> int | None:
        """Send one batch; return how many entries (0 when all were sent), None when the sink is not active.

        Raises `Unavailable` when the receiver does not take it; the cursor stays where it was.
        """
        row = conn.cursor(row_factory=dict_row).execute(_READ, (self.sink,)).fetchone()
        if row is None or row["state"] != "active":
            self.close()
            return None
        last = stored.checkpoint_at(conn)
        size, following = (last.size if last else 0), int(row["following"])
        if self._transport is None:
            self._transport = self.opener(row)
            self._again = max(int(row["start"]), following - self._transport.resent)
        start = min(self._again, following)
        # What is sent again ends where the cursor is, so that nothing is counted twice.
        end = min(start + self.batch, following if start < following else size)
        messages, withheld = self._messages(conn, row["zone"], start, end)
        is_due = time.monotonic() - self._said_at >= self.heartbeat_s
        if is_due:
            messages.append(Heartbeat(self.origin, size, datetime.now(UTC)))
        if messages:
            self._transport.send(messages)
        self._again = end
        if end > following:
            conn.execute(_MOVE, (end, end - following, withheld, self.sink))
        elif is_due:
            conn.execute(_ALIVE, (self.sink,))
        if is_due:
            self._said_at = time.monotonic()
        return max(0, end - start)

    def close(self) -> None:
        """Let go of the receiver."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _messages(self, conn: stored.Conn, zone: str, start: int, end: int) -> tuple[list[Message], int]:
        decisions, messages, withheld = dict[str, Decision](), list[Message](), 0
        for row in stored.entry_rows(conn, start, end):
            index, entry, origin_zone = row[0], bytes(row[1]), row[7]
            if origin_zone not in decisions:
                decisions[origin_zone] = self.judge(origin_zone, zone)
            if decision := decisions[origin_zone]:
                messages.append(told(self.origin, index, entry))
            else:
                withheld += 1
                messages.append(Withheld(self.origin, index, decision.rule, datetime.now(UTC)))
        if len(messages) != end - start:
            raise Unavailable(f"entries between {start} and {end} are not in the ledger's table any more")
        return messages, withheld

    def _connection(self) -> stored.Conn:
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5, application_name="khatim-stream")

    def _lead(self, conn: stored.Conn) -> bool:
        number = int.from_bytes(self.sink.bytes[-4:], "big", signed=True)
        if not direct.value(conn.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK, number))):
            return False
        conn.execute(_BEGIN, (self.sink,))
        return True

    def _note(self, error: str) -> None:
        try:
            with direct.translated(), self._connection() as conn:
                conn.execute(_FAILED, (error[:1000], self.sink))
        except Unavailable as lost:
            _log.warning("sink %s: its error cannot be noted: %s", self.sink, lost)


def _seconds(wrong: KhatimError) -> float:
    try:
        return min(max(0.0, float(wrong.members.get("retry_after") or 0)), 600.0)
    except ValueError:
        return 0.0


_READ = (
    "SELECT s.id, s.name, s.zone, s.format, s.transport, s.target, s.start, s.state, d.following "
    "FROM sinks s JOIN sink_deliveries d ON d.sink_id = s.id WHERE s.id = %s"
)
_BEGIN = (
    "INSERT INTO sink_deliveries (sink_id, following, sent, withheld, failures, error, at) "
    "SELECT id, start, 0, 0, 0, '', clock_timestamp() FROM sinks WHERE id = %s ON CONFLICT DO NOTHING"
)
_MOVE = (
    "UPDATE sink_deliveries SET following = %s, sent = sent + %s, withheld = withheld + %s, error = '', "
    "at = clock_timestamp() WHERE sink_id = %s"
)
_ALIVE = "UPDATE sink_deliveries SET error = '', at = clock_timestamp() WHERE sink_id = %s"
_FAILED = "UPDATE sink_deliveries SET failures = failures + 1, error = %s, at = clock_timestamp() WHERE sink_id = %s"
