# SPDX-License-Identifier: Apache-2.0
"""Which roles on record count: live ones, whose approver's signed statement says what the row says."""

from __future__ import annotations

from sqlalchemy import select

from audit.transaction import Reader
from governance import assignments
from governance.access_tables import LIVE, RoleAssignment
from governance.court import Court
from khatim.vocabulary import PROGRAM, Assignment, Role
from policies.assignments import GROUP, PERSON
from registry import standing
from registry.notary import Notary
from registry.signing import statements
from registry.tables import Statement


def held(reader: Reader, person: str, groups: frozenset[str], notary: Notary) -> frozenset[Assignment]:
    """Return the roles on record that *person* holds, alone or as a member of *groups*, and whose approval verifies.

    A program (``service-account:NAME``) holds its own.
    """
    subjects = [person if person.startswith(PROGRAM) else PERSON + person, *(GROUP + one for one in groups)]
    query = (
        select(RoleAssignment, Statement)
        .join(Statement, Statement.id == RoleAssignment.statement_id)
        .where(RoleAssignment.subject.in_(subjects), RoleAssignment.state == LIVE)
        .where(RoleAssignment.expires_at > reader.now)
    )
    rows = reader.rows(query)
    if not rows:
        return frozenset()
    court = Court(notary, standing.book_of(reader), reader.now)
    return frozenset(
        Assignment(Role(row.role), row.expires_at, row.zone, row.namespace, row.ref, row.stands_in_for)
        for row, said in rows
        if is_given(row, said, court)
    )


def is_given(row: RoleAssignment, said: Statement, court: Court) -> bool:
    """Whether the approver's own signed statement, which stands, says what the row says."""
    if row.approved_by is None or row.approved_at is None or row.expires_at is None:
        return False
    terms = assignments.terms_of(
        row, approved_by=row.approved_by, approved_at=row.approved_at, expires_at=row.expires_at
    )
    return court.vouches(said, statements.ASSIGNMENT, by=row.approved_by, says=terms)
