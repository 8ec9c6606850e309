# SPDX-License-Identifier: Apache-2.0
"""The one way in which rows leave the ledger: a recorded range, by a procedure, past triggers that count along.

The service registers archives and cannot remove; the sequencer's role may call the procedure and cannot delete.  The
trigger that refuses DELETE lets only the procedure's own statement pass, and a second one holds every row that left
against the registered range and its entry, so that also the owner's hand removes nothing else while both stand.
"""

from __future__ import annotations

from audit import ddl
from audit.archive_tables import archives

STAYING = ("ledger.opened", "ledger.epoch_opened", "ledger.archived")
"""Kinds that stay in the database for ever: who signs, and what was archived."""
REMOVE = "khatim_remove_archived"
_ENTRIES = "ledger_entries"
_SEARCH = "SET search_path = pg_catalog, public"
_MARK = "khatim.removing"


def upgrade() -> list[str]:
    """Return the statements; all of them may be run again."""
    kinds = ", ".join(f"'{kind}'" for kind in STAYING)
    told = f"""
CREATE OR REPLACE FUNCTION khatim_archive_told(a_first bigint, a_end bigint, a_digest text) RETURNS boolean
LANGUAGE sql STABLE {_SEARCH} AS $$
    SELECT EXISTS (SELECT FROM ledger_archives WHERE "first" = a_first AND "end" = a_end AND digest = a_digest)
       AND EXISTS (
        SELECT FROM ledger_entries WHERE kind = 'ledger.archived' AND "index" >= a_end AND
            (convert_from(entry, 'UTF8')::json #>> '{{event,payload,first}}')::bigint = a_first AND
            (convert_from(entry, 'UTF8')::json #>> '{{event,payload,end}}')::bigint = a_end AND
            convert_from(entry, 'UTF8')::json #>> '{{event,payload,digest}}' = a_digest)
$$"""  # noqa: S608 - names of ours
    guard = f"""
CREATE OR REPLACE FUNCTION khatim_entries_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH} AS $$
BEGIN
    IF TG_OP = 'DELETE' AND coalesce(current_setting('{_MARK}', true), '') <> '' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'The ledger is corrected by a new entry, never by a change.';
END $$"""
    counted = f"""
CREATE OR REPLACE FUNCTION khatim_entries_left() RETURNS trigger LANGUAGE plpgsql {_SEARCH} AS $$
BEGIN
    IF EXISTS (SELECT FROM gone WHERE kind IN ({kinds}) OR NOT EXISTS (
        SELECT FROM ledger_archives a WHERE gone."index" >= a."first" AND gone."index" < a."end"
            AND a.digest = current_setting('{_MARK}', true)
    )) OR EXISTS (
        SELECT FROM ledger_archives a WHERE a.digest = current_setting('{_MARK}', true)
            AND NOT khatim_archive_told(a."first", a."end", a.digest)
    ) THEN
        RAISE EXCEPTION 'ledger_entries is append-only: this is no recorded archive'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$"""  # noqa: S608 - names of ours
    remove = f"""
CREATE OR REPLACE FUNCTION {REMOVE}(a_first bigint, a_end bigint, a_digest text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER {_SEARCH} AS $$
DECLARE
    removed bigint;
BEGIN
    IF NOT khatim_archive_told(a_first, a_end, a_digest) THEN
        RAISE EXCEPTION 'no archive of entries % to % with this digest is recorded in the ledger', a_first, a_end - 1
            USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('{_MARK}', a_digest, true);
    DELETE FROM ledger_entries WHERE "index" >= a_first AND "index" < a_end AND kind NOT IN ({kinds});
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('{_MARK}', '', true);
    RETURN removed;
END $$"""  # noqa: S608 - names of ours
    before = f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {_ENTRIES} FOR EACH STATEMENT"
    after = f"AFTER DELETE ON {_ENTRIES} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT"
    name, call = archives.name, f"{REMOVE}(bigint, bigint, text)"
    return [
        told, guard, counted, remove,
        f"CREATE OR REPLACE TRIGGER khatim_append_only {before} EXECUTE FUNCTION khatim_entries_guard()",
        f"ALTER TABLE {_ENTRIES} ENABLE ALWAYS TRIGGER khatim_append_only",
        f"CREATE OR REPLACE TRIGGER khatim_only_archived {after} EXECUTE FUNCTION khatim_entries_left()",
        f"ALTER TABLE {_ENTRIES} ENABLE ALWAYS TRIGGER khatim_only_archived",
        *ddl.sealed(name),
        f"REVOKE ALL ON {name} FROM PUBLIC, {ddl.SERVICE}, {ddl.SEQUENCER}",
        f"GRANT SELECT, INSERT ON {name} TO {ddl.SERVICE}",
        f"GRANT SELECT ON {name} TO {ddl.SEQUENCER}",
        f"REVOKE ALL ON FUNCTION {call} FROM PUBLIC, {ddl.SERVICE}",
        f"GRANT EXECUTE ON FUNCTION {call} TO {ddl.SEQUENCER}",
    ]  # fmt: skip


def downgrade() -> list[str]:
    """Return the statements that take it back; the trigger that refuses everything stands again."""
    return [
        f"DROP FUNCTION {REMOVE}(bigint, bigint, text)",
        f"DROP TRIGGER khatim_only_archived ON {_ENTRIES}",
        *ddl.sealed(_ENTRIES),
        "DROP FUNCTION khatim_entries_guard()",
        "DROP FUNCTION khatim_entries_left()",
        "DROP FUNCTION khatim_archive_told(bigint, bigint, text)",
    ]
