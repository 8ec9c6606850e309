# SPDX-License-Identifier: Apache-2.0
"""The second lock: rows of namespaces that an actor cannot reach do not exist for its transaction.

Access is decided by rules first.  Were a decision ever forgotten, PostgreSQL's row-level security still shows nothing
of another namespace and writes nothing into one: each transaction says at its beginning which namespaces its actor
can see and reach, and one that does not say sees none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session, SessionTransaction

SIGHT, REACH = "khatim.sight", "khatim.reach"
ALL: Final = "*"
OPENING: Final = "khatim_opening"
READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE: Final = "BEGIN"
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_SET: Final = text("SELECT set_config(:sight, :bounds, true), set_config(:reach, :bounds, true)")


class Bounded(Session):
    """A session whose transactions begin with `opening`; its engine is in autocommit, so that nothing else begins one.

    BEGIN and what is set go to the database together: two more round trips would be felt by every read.
    """


@event.listens_for(Bounded, "after_begin")
def _open(session: Session, _: SessionTransaction, connection: Connection) -> None:
    connection.exec_driver_sql(session.info[OPENING])


def opening(begin: str, bounds: str) -> str:
    """Return the statements that begin a transaction which sees and reaches *bounds* (`within`)."""
    return f"{begin}; SET LOCAL {SIGHT} = {_literal(bounds)}; SET LOCAL {REACH} = {_literal(bounds)}"


def within(patterns: Iterable[str]) -> str:
    """Return patterns (equal, or ending in ``*``) as the policies read them: `ALL`, or LIKE patterns and spaces."""
    given = set(patterns)
    return ALL if ALL in given else " ".join(sorted(_like(one) for one in given))


def set_bounds(session: Session, bounds: str) -> None:
    """Let the transaction of *session* see and reach *bounds* (`within`) from now on; one that failed ends as it is."""
    if not session.is_active:
        return
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status is not TransactionStatus.INERROR:
        connection.execute(_SET, {"sight": SIGHT, "reach": REACH, "bounds": bounds})


def _like(pattern: str) -> str:
    head, star, _ = pattern.partition("*")
    escaped = head.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return escaped + ("%" if star else "")


def _literal(words: str) -> str:
    # The driver reads % as the beginning of a parameter, also where there is none.
    return "'" + words.replace("'", "''").replace("%", "%%") + "'"


# -- what a migration creates --


def policies(table: str, namespace: str = "namespace") -> list[str]:
    """Return the statements that bound *table*, whose rows belong to the namespace that the SQL *namespace* gives."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY khatim_sight ON {table} FOR SELECT USING ({_inside(namespace, SIGHT)})",
        f"CREATE POLICY khatim_insert ON {table} FOR INSERT WITH CHECK ({_inside(namespace, REACH)})",
        f"CREATE POLICY khatim_update ON {table} FOR UPDATE USING ({_inside(namespace, REACH)})",
        f"CREATE POLICY khatim_delete ON {table} FOR DELETE USING ({_inside(namespace, REACH)})",
    ]


def following(table: str, parent: str, key: str) -> list[str]:
    """Return the statements that show a row of *table* to whom the row of *parent* that its *key* names is shown."""
    seen = f"EXISTS (SELECT FROM {parent} WHERE {parent}.id = {table}.{key})"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY khatim_parent ON {table} USING ({seen})",
    ]


def unbounded(table: str) -> list[str]:
    """Return the statements that take the policies of *table* away again."""
    names = ("sight", "insert", "update", "delete", "parent")
    return [
        *(f"DROP POLICY IF EXISTS khatim_{name} ON {table}" for name in names),
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    ]


def _inside(namespace: str, setting: str) -> str:
    # A subselect is read once for a query, a plain call once for a row.
    said = f"(SELECT current_setting('{setting}', true))"
    return f"{said} = '{ALL}' OR {namespace} LIKE ANY (string_to_array({said}, ' '))"
