# SPDX-License-Identifier: Apache-2.0
"""What the database itself refuses: by trigger even to its owner, by privilege to the service and the sequencer."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from audit import ddl, ledger_tables
from audit.base import Base
from tests.audit.ledgers import LedgerDatabase, event_body

SEALED = [table.name for table in ledger_tables.SEALED]
CHANGES = ["UPDATE {0} SET {1} = {1}", "UPDATE {0} SET {1} = {1} WHERE false", "DELETE FROM {0}", "TRUNCATE {0}"]
READ, ADD = "SELECT count(*) FROM {0}", "INSERT INTO {0} SELECT * FROM {0}"
FIRST = {
    "ledger_entries": '"index"',
    "ledger_tiles": "level",
    "ledger_checkpoints": "size",
    "ledger_payloads": "digest",
    "ledger_outbox": "body",
}


@pytest.mark.parametrize("role", ["postgres", "khatim_owner"])
@pytest.mark.parametrize("table", SEALED)
def test_the_ledger_refuses_every_change_to_everyone(ledger: LedgerDatabase, table: str, role: str) -> None:
    ledger.offer(*(event_body(number) for number in range(300)))
    ledger.sequence_all()
    with ledger.connect(role) as conn:
        for change in CHANGES:
            with pytest.raises(errors.RestrictViolation, match="append-only"):
                conn.execute(change.format(table, FIRST[table]))


def test_replication_mode_does_not_switch_the_triggers_off(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    with ledger.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        with pytest.raises(errors.RestrictViolation):
            conn.execute("DELETE FROM ledger_entries")


def test_an_insert_does_not_update_on_conflict(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    query = "INSERT INTO ledger_checkpoints SELECT * FROM ledger_checkpoints ON CONFLICT (size) DO UPDATE SET note = ''"
    with ledger.connect() as conn, pytest.raises(errors.RestrictViolation):
        conn.execute(query)


def test_waiting_events_are_not_changed(ledger: LedgerDatabase) -> None:
    ledger.offer(event_body(1))
    with ledger.connect() as conn:
        for change in ("UPDATE ledger_outbox SET body = body", "TRUNCATE ledger_outbox"):
            with pytest.raises(errors.RestrictViolation):
                conn.execute(change)


@pytest.mark.parametrize("table", [*SEALED, "ledger_outbox"])
def test_the_service_reads_the_ledger_and_only_adds_to_the_outbox(ledger: LedgerDatabase, table: str) -> None:
    ledger.sequence_all()
    with ledger.connect("khatim_service") as conn:
        conn.execute(READ.format(table))
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(change.format(table, FIRST[table]))
        if table in SEALED:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(ADD.format(table))


@pytest.mark.parametrize("table", SEALED)
def test_the_sequencer_adds_and_changes_nothing(ledger: LedgerDatabase, table: str) -> None:
    with ledger.connect("khatim_sequencer") as conn:
        conn.execute(ADD.format(table))
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(change.format(table, FIRST[table]))


def test_the_sequencer_takes_from_the_outbox_and_puts_nothing_in(ledger: LedgerDatabase) -> None:
    ledger.offer(event_body(1))
    with ledger.connect("khatim_sequencer") as conn:
        for change in (
            "INSERT INTO ledger_outbox (body) SELECT body FROM ledger_outbox",
            "UPDATE ledger_outbox SET body = body",
            "TRUNCATE ledger_outbox",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(change)
        assert conn.execute("DELETE FROM ledger_outbox").rowcount == 1


def test_neither_role_switches_a_trigger_off(ledger: LedgerDatabase) -> None:
    for role in ("khatim_service", "khatim_sequencer"):
        with ledger.connect(role) as conn, pytest.raises(errors.InsufficientPrivilege):
            conn.execute("ALTER TABLE ledger_entries DISABLE TRIGGER ALL")
        with ledger.connect(role) as conn, pytest.raises(errors.InsufficientPrivilege):
            conn.execute("SET session_replication_role = replica")


UNFIT = {
    "empty": b"",
    "no json": b"not json",
    "no object": b"[]",
    "no utf-8": b"\xff",
    "no moment": b"{}",
    "a number as moment": b'{"at":5}',
    "infinity": b'{"at":"infinity"}',
    "month 13": b'{"at":"2026-13-01T00:00:00.000000Z"}',
    "hour 24": b'{"at":"2026-01-01T24:00:00.000000Z"}',
    "no microseconds": event_body(1, at="2026-11-23T02:30:00Z"),
    "a payload that is not there": event_body(1, payload_digest="sha256:" + "0" * 64),
    "too large": event_body(1, resource="x" * 65_400),
}


@pytest.mark.parametrize("body", UNFIT.values(), ids=list(UNFIT))
def test_what_could_not_be_sequenced_never_reaches_the_outbox(ledger: LedgerDatabase, body: bytes) -> None:
    with pytest.raises((errors.CheckViolation, errors.DataError)):
        ledger.offer(body)


def test_everything_may_be_run_again(ledger: LedgerDatabase) -> None:
    with psycopg.connect(ledger.url("khatim_owner")) as conn:
        for statement in [*ddl.upgrade(), *ddl.upgrade()]:
            conn.execute(statement.encode())
    ledger.offer(event_body(1))
    ledger.sequence_all()


def test_other_tables_are_ordinary_to_the_service() -> None:
    names = [table.name for table in Base.metadata.sorted_tables]
    granted = ddl.service_grants([*names, "models"])
    assert len(granted) == 1
    assert "models" in granted[0]
    assert "ledger_" not in granted[0]
    assert ddl.service_grants(SEALED) == []


def test_no_foreign_key_leads_into_or_out_of_the_ledger() -> None:
    own = {*SEALED, ledger_tables.outbox.name}
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            assert not {table.name, key.column.table.name} & own
