# SPDX-License-Identifier: Apache-2.0
"""What the database itself refuses: triggers that keep the ledger append-only, and roles that can do no more.

Each function returns statements for a migration; all of them may be run again.  The owner of the tables can still
drop a trigger, and a superuser can do anything: against them stand the checkpoints that others hold (trust.md, B3).
"""

from __future__ import annotations

from collections.abc import Iterable

from audit import archive_tables, epoch_tables, ledger_tables
from audit.endorsements_tables import endorsements
from audit.entries import BODY_MAX

SERVICE = "khatim_service"
SEQUENCER = "khatim_sequencer"
_GUARD = "khatim_append_only"
_MOMENT = r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$"


def event_holds() -> str:
    """Return the statement that creates the check of the outbox: what may wait there can be sequenced.

    The body is an object of at most `BODY_MAX` bytes, has a moment, and names its payload's digest if it has one.
    """
    # An escaped NUL is good JSON that PostgreSQL cannot turn into text; the entry keeps it, the check reads past it.
    return rf"""
CREATE OR REPLACE FUNCTION ledger_event_holds(body bytea, payload bytea) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    event json := replace(convert_from(body, 'UTF8'), '\u0000', '\ufffd')::json;
BEGIN
    RETURN octet_length(body) <= {BODY_MAX}
        AND json_typeof(event) = 'object'
        AND coalesce((event ->> 'at') ~ '{_MOMENT}' AND (event ->> 'at')::timestamptz IS NOT NULL, false)
        AND (event ->> 'payload_digest') IS NOT DISTINCT FROM 'sha256:' || encode(sha256(payload), 'hex');
END $$"""


def triggers() -> list[str]:
    """Return the statements that make the ledger refuse UPDATE, DELETE and TRUNCATE, whoever asks.

    Rows of the outbox may be deleted (by the sequencer, see `ledger_grants`), never changed.  The triggers are per
    statement, so that a change of no row is refused as well, and always on, so that the replication role of a session
    does not get around them.
    """
    function = f"""
CREATE OR REPLACE FUNCTION {_GUARD}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'The ledger is corrected by a new entry, never by a change.';
END $$"""
    statements = [function]
    for table in ledger_tables.SEALED:
        statements += _guard(table.name, "UPDATE OR DELETE OR TRUNCATE")
    return statements + _guard(ledger_tables.outbox.name, "UPDATE OR TRUNCATE")


def sealed(table: str) -> list[str]:
    """Return the statements that make another *table* append-only; `triggers` has created what they call."""
    return _guard(table, "UPDATE OR DELETE OR TRUNCATE")


def _guard(table: str, operations: str) -> list[str]:
    when = f"BEFORE {operations} ON {table} FOR EACH STATEMENT"
    return [
        f"CREATE OR REPLACE TRIGGER {_GUARD} {when} EXECUTE FUNCTION {_GUARD}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {_GUARD}",
    ]


def roles() -> list[str]:
    """Return the statements that create the two roles where they are missing.

    They are made without login, to be granted to the users that connect; an installation may make them beforehand.
    """
    # Roles belong to the whole server: another database of it may make them at this very moment.
    return [
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; "
        "END IF; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        for role in (SERVICE, SEQUENCER)
    ]


def ledger_grants() -> list[str]:
    """Return the grants on the ledger: the service writes the outbox and reads, only the sequencer appends."""
    sealed = ", ".join(table.name for table in ledger_tables.SEALED)
    box = ledger_tables.outbox.name
    return [
        f"REVOKE ALL ON {box}, {sealed} FROM PUBLIC, {SERVICE}, {SEQUENCER}",
        f"GRANT SELECT, INSERT ON {box} TO {SERVICE}",
        f"GRANT SELECT ON {sealed} TO {SERVICE}",
        f"GRANT SELECT, DELETE ON {box} TO {SEQUENCER}",
        f"GRANT SELECT, INSERT ON {sealed} TO {SEQUENCER}",
    ]


def service_grants(tables: Iterable[str]) -> list[str]:
    """Return the grants of ordinary reading and writing on other *tables*; the ledger's own are left out."""
    own = {ledger_tables.outbox.name, epoch_tables.halts.name, archive_tables.archives.name}
    own.add(endorsements.name)
    own |= {table.name for table in (*ledger_tables.SEALED, *epoch_tables.SEALED)}
    names = ", ".join(name for name in tables if name not in own)
    return [f"GRANT SELECT, INSERT, UPDATE, DELETE ON {names} TO {SERVICE}"] if names else []


def upgrade(other_tables: Iterable[str] = ()) -> list[str]:
    """Return everything in order: triggers, roles, grants."""
    return [*triggers(), *roles(), *ledger_grants(), *service_grants(other_tables)]
