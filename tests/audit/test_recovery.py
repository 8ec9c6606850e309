# SPDX-License-Identifier: Apache-2.0
"""Recovery on a real database: what was lost is named, entries that prove are put back, else a new epoch opens."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, select

from audit import epoch_tables, epochs, export, halts, recovery, recovery_sources, recovery_work, stored
from audit.canonical import canonical
from audit.checkpoint import Checkpoint, NoteSigner, NoteVerifier, sign_checkpoint
from audit.epochs import Loss, origin_of
from audit.heads import HeadFile
from audit.merkle import leaf_hash
from audit.recovery import Decided, Plan, Way
from audit.recovery_events import RecoveryConfirmed
from audit.recovery_work import Workbench
from audit.sequencer import Safeguards, Sequencer
from audit.transaction import Ledger
from audit.verify import FolderSource
from audit.verify_database import verify_database
from audit.walk import LedgerReport
from khatim.errors import (
    Conflict,
    Forbidden,
    LedgerForked,
    LedgerInvalid,
    LedgerReadOnly,
    Malformed,
    NotFound,
    SeparationOfDuties,
    Unavailable,
)
from khatim.vocabulary import Action, Actor, ActorKind, Decision, Resource
from tests.audit.ledgers import OPENED, ORIGIN, SIGNER, LedgerDatabase, event_body, signer_named
from tests.audit.test_sequencer import numbers_in, running, wait_until
from tests.support.webserver import serving

LAYLA, OMAR, NOOR = (Actor(f"p-{name}", ActorKind.PERSON) for name in ("layla", "omar", "noor"))
DECIDED = Decided(LAYLA.ref, OMAR.ref, "the volume was restored from the backup of Sunday")


def signer_of(number: int) -> NoteSigner:
    """Return the key of an epoch."""
    return signer_named(origin_of(ORIGIN, number))


class Permissive:
    """Lets everybody but one person recover."""

    def decide(self, actor: Actor, action: Action, resource: Resource, at: datetime | None = None) -> Decision:
        """Decide by the person."""
        del action, resource, at
        return Decision(allowed=actor is not NOOR, rule="test:1", reason="test")

    def placed(self, actor: Actor) -> Actor:
        """Leave everybody where they are."""
        return actor

    def entity_of(self, namespace: str) -> str:
        """Know no entities."""
        del namespace
        return ""


@dataclass
class Restored:
    """A ledger of which a copy was exported at its end, and which was then restored to an older state."""

    ledger: LedgerDatabase
    head: HeadFile
    copy: Path
    bench: Workbench = field(init=False)

    def __post_init__(self) -> None:
        """Know the keepers."""
        self.bench = Workbench(ORIGIN, signer_of, [self.head])

    def sequencer(self) -> Sequencer:
        """Return the guarded sequencer."""
        return Sequencer(
            self.ledger.url("khatim_sequencer"), ORIGIN, SIGNER, Safeguards([self.head], signer_of), poll_s=0.005
        )

    def drain(self) -> None:
        """Sequence what waits."""
        sequencer = self.sequencer()
        while sequencer.run_once():
            pass
        sequencer.close()

    def plan(self, source: str | Path | None = None) -> Plan:
        """Look, with or without a copy."""
        with recovery_work.leading(self.ledger.url("khatim_sequencer")) as conn:
            if source is None:
                return recovery_work.plan(conn, self.bench)
            with recovery_sources.opened(source) as lost:
                return recovery_work.plan(conn, self.bench, lost)

    def recover(self, source: str | Path | None = None, decided: Decided = DECIDED) -> Checkpoint:
        """Plan and carry out."""
        with recovery_work.leading(self.ledger.url("khatim_sequencer")) as conn:
            if source is None:
                return recovery_work.carry_out(conn, self.bench, recovery_work.plan(conn, self.bench), decided)
            with recovery_sources.opened(source) as lost:
                planned = recovery_work.plan(conn, self.bench, lost)
                return recovery_work.carry_out(conn, self.bench, planned, decided, lost)

    def restore(self, size: int) -> None:
        """Take the database back to *size*, as a backup of that moment would."""
        self.ledger.tamper('DELETE FROM ledger_entries WHERE "index" >= %s', (size,))
        self.ledger.tamper("DELETE FROM ledger_checkpoints WHERE size > %s", (size,))
        self.ledger.tamper("DELETE FROM ledger_tiles WHERE (number + 1) << (8 * (level + 1)) > %s", (size,))

    def verify(self, verifier: NoteVerifier = SIGNER.verifier) -> LedgerReport:
        """Verify the database against the first epoch's key, or another one."""
        with self.ledger.connect() as conn:
            return verify_database(conn, verifier)


def filled(ledger: LedgerDatabase, folder: Path) -> Restored:
    """Return a ledger of 601 entries with checkpoints every 200, exported as it stands."""
    made = Restored(ledger, HeadFile(folder / "ledger.head"), folder / "copy")
    made.drain()
    for start in (0, 200, 400):
        ledger.offer(*(event_body(number) for number in range(start, start + 200)))
        made.drain()
    made.copy.mkdir()
    with ledger.connect() as conn:
        export.export_ledger(conn, lambda path, data: _write(made.copy / path, data))
    return made


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def restored(ledger: LedgerDatabase, tmp_path: Path) -> Restored:
    """Return a ledger of which 601 entries were signed and 401 are left."""
    made = filled(ledger, tmp_path)
    made.restore(401)
    return made


@pytest.fixture
def governed(ledger: LedgerDatabase) -> Iterator[Ledger]:
    """Yield the door for changes to the same database."""
    url = ledger.url("khatim_service").replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, pool_size=1)
    yield Ledger(engine, Permissive(), entity="tests")
    engine.dispose()


def test_an_intact_ledger_has_nothing_to_recover(ledger: LedgerDatabase, tmp_path: Path) -> None:
    made = filled(ledger, tmp_path)
    assert made.plan().way is Way.NOTHING
    with made.ledger.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == 601


def test_what_was_lost_is_named_and_looking_changes_nothing(restored: Restored) -> None:
    planned = restored.plan()
    assert (planned.way, planned.size, planned.known_size, planned.keeper) == (Way.EPOCH, 401, 601, "file")
    assert (planned.lost_from, planned.lost_to) == (401, 601)
    assert (planned.next_origin, planned.next_vkey) == (f"{ORIGIN}/2", signer_of(2).vkey)
    assert restored.plan() == planned
    assert restored.plan(restored.copy).way is Way.IMPORT
    assert restored.verify().size == 401


def test_entries_that_prove_are_put_back_as_they_were(restored: Restored) -> None:
    restored.ledger.offer(event_body(450), event_body(999))  # the backup's outbox: one was sequenced since
    reached = restored.recover(restored.copy)
    assert (reached.origin, reached.size) == (ORIGIN, 601)
    restored.drain()
    assert numbers_in(restored.ledger) == [*range(600), 999], "none twice, none missing"
    report = restored.verify()
    assert (report.size, [epoch.number for epoch in report.epochs]) == (602, [1])


def test_entries_are_put_back_from_the_address_of_a_mirror(restored: Restored) -> None:
    with serving(restored.copy) as address:
        assert restored.plan(address).way is Way.IMPORT
        assert restored.recover(address).size == 601
    assert numbers_in(restored.ledger) == list(range(600))
    assert restored.verify().size == 601


def test_an_address_where_no_log_is_changes_nothing(restored: Restored) -> None:
    with serving(restored.copy / "tile") as address, pytest.raises(LedgerInvalid, match=r"missing|hand"):
        restored.recover(address)
    with pytest.raises(Unavailable):
        restored.plan("http://127.0.0.1:9/ledger")
    assert restored.verify().size == 401


def test_a_copy_that_grew_on_is_taken_up_to_what_is_known(restored: Restored, tmp_path: Path) -> None:
    restored.head.highest()
    known = restored.head.highest() or ""
    assert "\n601\n" in known
    restored.recover(restored.copy)
    restored.ledger.offer(*(event_body(number) for number in range(600, 700)))
    restored.drain()
    longer = tmp_path / "longer"
    with restored.ledger.connect() as conn:
        export.export_ledger(conn, lambda path, data: _write(longer / path, data))
    restored.restore(201)
    (tmp_path / "ledger.head").write_text(known)
    assert restored.recover(longer).size == 601
    assert numbers_in(restored.ledger) == list(range(600))
    assert restored.verify().size == 601


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda copy: (copy / "tile/entries/002.p/89").unlink(), "missing or unreadable"),
        (lambda copy: _flip(copy / "tile/entries/001"), "do not lead|does not follow|form|JSON|damaged"),
        (lambda copy: _flip(copy / "tile/entries/002.p/89"), "do not lead|does not follow|form|JSON|damaged"),
    ],
    ids=["a bundle is missing", "a byte of a bundle", "a byte of the last bundle"],
)
def test_a_copy_that_does_not_prove_is_refused_and_nothing_is_written(
    restored: Restored, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(restored.copy)
    with pytest.raises(LedgerInvalid, match=reason):
        restored.recover(restored.copy)
    assert restored.verify().size == 401


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(bytes(data))


def test_kept_answers_and_receipts_put_entries_back(restored: Restored, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    other = recovery_sources.FromTiles(FolderSource(restored.copy))
    known = Checkpoint.parse((restored.head.highest() or "").rpartition("\n\n")[0] + "\n")
    for index, (entry, _) in enumerate(other.between(401, b"", known), 401):
        said = {"index": index, "leaf": _b64(leaf_hash(entry)), "body": json.loads(entry)["event"]}
        (kept / f"{index}.json").write_text(json.dumps(said))
    missing = (kept / "500.json").read_text()
    (kept / "500.json").unlink()
    with pytest.raises(LedgerInvalid, match="nobody kept entry 500"):
        restored.recover(kept)
    (kept / "500.json").write_text(missing.replace("oncology", "cardiology", 1))
    with pytest.raises(LedgerInvalid, match="entry 500 is not the one"):
        restored.recover(kept)
    (kept / "500.json").write_text(missing)
    assert restored.recover(kept).size == 601
    assert restored.verify().size == 601


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_new_epoch_commits_to_the_old_checkpoint_and_both_are_reported(restored: Restored) -> None:
    old_note = restored.head.highest()
    restored.ledger.offer(event_body(1000))
    reached = restored.recover()
    assert (reached.origin, reached.size) == (f"{ORIGIN}/2", 402)
    restored.drain()
    assert numbers_in_all(restored.ledger) == [*range(400), 1000]
    for verifier in (SIGNER.verifier, signer_of(2).verifier):  # whoever pinned the old key follows to the new one
        report = restored.verify(verifier)
        assert (report.size, report.origin) == (403, f"{ORIGIN}/2")
        first, second = report.epochs
        assert (first.number, first.origin, first.vkey, first.loss) == (1, ORIGIN, SIGNER.vkey, None)
        assert (second.number, second.first, second.vkey) == (2, 401, signer_of(2).vkey)
        assert second.loss == Loss(old_note or "", 401, 601, DECIDED.reason, LAYLA.ref, OMAR.ref)


def numbers_in_all(ledger: LedgerDatabase) -> list[int]:
    """Return the numbers of the test events, whatever else stands between them."""
    with ledger.connect() as conn:
        size = (stored.checkpoint_at(conn) or pytest.fail("none")).size
        found = [json.loads(entry)["event"] for entry in stored.entries_between(conn, 0, size)]
    return [event["payload"]["number"] for event in found if event["kind"] == "version.promoted"]


def test_a_stale_head_of_the_old_epoch_stops_nobody_and_a_larger_one_does(restored: Restored, tmp_path: Path) -> None:
    old = restored.head.highest() or ""
    restored.recover()
    (tmp_path / "ledger.head").write_text(old)  # killed between commit and file
    restored.drain()
    assert (restored.head.highest() or "").startswith(f"{ORIGIN}/2\n")
    larger = sign_checkpoint(Checkpoint(ORIGIN, 700, bytes(32)), SIGNER)
    (tmp_path / "ledger.head").write_text(larger)
    with pytest.raises(LedgerForked, match="size 700"):
        restored.sequencer().run_once()


def test_a_lost_epoch_is_followed_by_a_third_one(restored: Restored) -> None:
    """The backup is from before the second epoch was opened; its key must not sign a second history either."""
    restored.recover()
    restored.ledger.offer(event_body(1000))
    restored.drain()
    restored.restore(201)
    restored.ledger.tamper("ALTER TABLE ledger_epochs DISABLE TRIGGER ALL; DELETE FROM ledger_epochs")
    with pytest.raises(LedgerForked):
        restored.sequencer().run_once()
    assert restored.recover().origin == f"{ORIGIN}/3"
    restored.drain()
    report = restored.verify()
    assert [(epoch.number, epoch.first) for epoch in report.epochs] == [(1, 0), (3, 201)]


def test_a_second_history_is_never_mixed_with_the_first(restored: Restored, tmp_path: Path) -> None:
    """A standby that was promoted and written on: the same size, another root; only a new epoch is left."""
    with restored.ledger.connect() as conn:
        conn.execute("SELECT 1")
    unguarded = restored.ledger
    unguarded.offer(*(event_body(number) for number in range(2000, 2300)))
    unguarded.sequence_all()
    with pytest.raises(LedgerForked, match="another root"):
        restored.sequencer().run_once()
    with pytest.raises(LedgerForked, match="two histories"):
        restored.recover(restored.copy)
    planned = restored.plan()
    assert (planned.size, planned.lost_from, planned.lost_to) == (701, 0, 601)
    restored.recover()
    restored.drain()
    assert [epoch.number for epoch in restored.verify().epochs] == [1, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"handover": None},
        {"vkey": signer_named("ledger.thief.khatim").vkey},
        {"origin": f"{ORIGIN}/9"},
        {"epoch": 3},
        {"lost_to": 600},
        {"lost_from": 300},
        {"reason": "none of your business"},
        {"confirmed_by": "p-layla"},
        {"old_checkpoint": "x"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_opening_without_the_old_keys_word_is_an_event_like_any_other(changed: dict[str, object]) -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 601, bytes(32)), SIGNER)
    first = epochs.Epoch(1, ORIGIN, SIGNER.vkey, 0)
    second = epochs.Epoch(2, f"{ORIGIN}/2", signer_of(2).vkey, 401, DECIDED.loss(_plan(note)))
    event = json.loads(epochs.opening_body(second, SIGNER, OPENED))
    assert epochs.next_of(event, 401, first) == second
    forged = {**event, "payload": {**event["payload"], **changed}}
    assert epochs.next_of(forged, 401, first) is None


def _plan(note: str) -> Plan:
    return Plan(Way.EPOCH, ORIGIN, 401, "00" * 32, "file", 601, note, 401, 601)


def test_the_handover_is_no_checkpoint(restored: Restored) -> None:
    """A signature over one thing never stands for another."""
    second = epochs.Epoch(2, f"{ORIGIN}/2", signer_of(2).vkey, 401, DECIDED.loss(_plan("x")))
    text = json.loads(epochs.opening_body(second, SIGNER, OPENED))["payload"]["handover"].rpartition("\n\n")[0]
    with pytest.raises(LedgerInvalid):
        Checkpoint.parse(text + "\n")


def test_two_different_people_recover_and_both_stand_in_the_ledger(restored: Restored, governed: Ledger) -> None:
    planned = restored.plan()
    with governed.transaction(LAYLA) as tx:
        number = recovery.request(tx, planned, because=" the disk burned ")
    with pytest.raises(SeparationOfDuties), governed.transaction(LAYLA) as tx:
        recovery.confirm(tx, number, planned)
    with pytest.raises(NotFound), governed.transaction(OMAR) as tx:
        recovery.confirm(tx, uuid.uuid4(), planned)
    with pytest.raises(Conflict, match="not as it was"), governed.transaction(OMAR) as tx:
        recovery.confirm(tx, number, replace(planned, lost_to=602))
    with governed.transaction(OMAR) as tx:
        decided = recovery.confirm(tx, number, planned)
    assert decided == Decided(LAYLA.ref, OMAR.ref, "the disk burned")
    restored.recover(decided=decided)
    restored.drain()
    kinds = restored.verify().kinds
    assert (kinds["ledger.recovery_requested"], kinds["ledger.recovery_confirmed"]) == (1, 1)
    assert kinds["ledger.refused"] == 1, "that the same person tried is recorded, too"


def test_who_may_not_recover_is_refused(restored: Restored, governed: Ledger) -> None:
    planned = restored.plan()
    with pytest.raises((Forbidden, NotFound)), governed.transaction(NOOR) as tx:
        recovery.request(tx, planned, because="let me")
    with pytest.raises(Malformed), governed.transaction(LAYLA) as tx:
        recovery.request(tx, planned, because="  ")
    with pytest.raises(Conflict, match="nothing to recover"), governed.transaction(LAYLA) as tx:
        recovery.request(tx, replace(planned, way=Way.NOTHING), because="for fun")
    with restored.ledger.connect() as conn:
        assert conn.execute("SELECT count(*) FROM ledger_recoveries").fetchone() == (0,)


def test_while_it_is_read_only_changes_are_refused_and_the_way_out_is_not(restored: Restored, governed: Ledger) -> None:
    with running(restored.sequencer()) as failed:
        with restored.ledger.connect() as conn:
            wait_until(lambda: halts.halt_of(conn) is not None)
        with pytest.raises(LedgerReadOnly), governed.transaction(LAYLA) as tx:
            tx.require(Action.AGENT_INVITE, Resource("agent", "one"))
            tx.record(RecoveryConfirmed(about="agent:one", recovery="", plan="", requested_by=""))
        with governed.reading(LAYLA) as reader:
            assert reader.rows(select(epoch_tables.halts.c.error))[0].error == "ledger-forked"
        planned = restored.plan()
        with governed.transaction(LAYLA) as tx:
            number = recovery.request(tx, planned, because="a restore")
        with governed.transaction(OMAR) as tx:
            decided = recovery.confirm(tx, number, planned)
        restored.recover(decided=decided)
        with restored.ledger.connect() as conn:
            wait_until(lambda: halts.halt_of(conn) is None)
            wait_until(lambda: conn.execute("SELECT count(*) FROM ledger_outbox").fetchone() == (0,))
        with governed.transaction(LAYLA) as tx:
            tx.require(Action.AGENT_INVITE, Resource("agent", "one"))
            tx.record(RecoveryConfirmed(about="agent:one", recovery="", plan="", requested_by=""))
    assert failed == []


def test_a_ledger_that_somebody_leads_is_not_recovered(restored: Restored) -> None:
    url = restored.ledger.url("khatim_sequencer")
    with (
        recovery_work.leading(url),
        pytest.raises(Unavailable, match="leads the ledger"),
        recovery_work.leading(url, patience_s=0.2),
    ):
        pytest.fail("two lead")


def test_plans_are_canonical(restored: Restored) -> None:
    planned = restored.plan()
    assert planned.body() == canonical(json.loads(planned.body()))


@pytest.mark.parametrize("table", ["ledger_epochs", "ledger_recoveries"])
@pytest.mark.parametrize("role", ["khatim_service", "khatim_sequencer", "khatim_owner", "postgres"])
def test_what_was_decided_is_never_changed(restored: Restored, role: str, table: str) -> None:
    for query in (f"DELETE FROM {table}", f"UPDATE {table} SET reason = ''", f"TRUNCATE {table}"):
        with restored.ledger.connect(role) as conn, pytest.raises(psycopg.Error):
            conn.execute(query.replace("reason = ''", "number = 9") if table == "ledger_epochs" else query)
