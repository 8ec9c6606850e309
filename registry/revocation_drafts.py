# SPDX-License-Identifier: Apache-2.0
"""Reading what a person wants revoked, and finding which statements it would strike; changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select

from audit.transaction import Reader
from khatim.errors import KhatimError, Malformed, NotFound
from khatim.vocabulary import Action, Resource, Revoked
from registry import queries
from registry.naming import namespace_of
from registry.signing.marking import marks_in
from registry.signing.revocation import Marks, Revocation, target_of
from registry.tables import DatasetVersion, FeatureViewVersion, ModelVersion, Statement


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be revoked: *target* in its one spelling, *about* what a statement or artifact is spoken of as."""

    kind: Revoked
    target: str
    since: datetime | None
    about: str = ""

    @property
    def resource(self) -> Resource:
        """Return what access decides about."""
        return Resource("revocation", self.target, namespace_of(self.about))

    @property
    def action(self) -> Action:
        """Return the permission: keys are the platform's business as well."""
        return Action.REVOCATION_RECORD_KEY if self.kind is Revoked.KEY else Action.REVOCATION_RECORD

    def as_if(self, at: datetime) -> Revocation:
        """Return the revocation that this would be at *at*, to see what it strikes."""
        return Revocation(number=0, kind=self.kind, target=self.target, since=self.since, because="", by="", at=at)


def read(reader: Reader, kind: Revoked, text: str, since: datetime | None, *, instance: str) -> Draft:
    """Read what a person wants revoked; raises `Malformed`, or `NotFound` for a statement that nobody made.

    *since* None is from the beginning.  A statement is named by its id or digest, an artifact by its digest or as a
    version, a key also by the index of a signature in the log (``log:42``).
    """
    if since is not None and since > reader.now:
        raise Malformed("the cut-off lies in the future", advice="Give a moment that has passed, or none for now.")
    text = text.strip()
    if kind is Revoked.STATEMENT:
        row, marks = _statement(reader, text)
        return Draft(kind, str(marks.entry), since, row.about)
    if kind is Revoked.KEY and text.startswith("log:"):
        return Draft(kind, f"certificate:{_logged(reader, text.removeprefix('log:')).certificate}", since)
    if kind is Revoked.ARTIFACT and not text.startswith("sha256:"):
        named = _version(reader, text)
        return Draft(kind, named.digest, since, named.ref)
    return Draft(kind, target_of(kind, text, instance), since)


def struck(reader: Reader, revocation: Revocation) -> list[Statement]:
    """Return the statements that would not hold any more, oldest first."""
    return [row for row, marks in _marked(reader, _named(revocation)) if revocation.strikes(marks, reader.now)]


def _named(revocation: Revocation) -> Select[Statement]:
    """Return the query of the statements that could be meant; only a key can be in any of them."""
    query = select(Statement).order_by(Statement.signed_at, Statement.id)
    if revocation.since is not None and revocation.kind in (Revoked.KEY, Revoked.IDENTITY):
        query = query.where(Statement.signed_at >= revocation.since)
    if revocation.kind is Revoked.IDENTITY:
        below = revocation.target.partition("*")[0]
        query = query.where(Statement.identity.startswith(below, autoescape=True))
    if revocation.kind is Revoked.ARTIFACT:
        query = query.where(Statement.subjects.contains([revocation.target]))
    return query


def _marked(reader: Reader, query: Select[Statement]) -> Iterator[tuple[Statement, Marks]]:
    for row in reader.scalars(query):
        try:
            yield row, marks_in(row.bundle, row.signed_at)
        except KhatimError:  # a row that was damaged holds nowhere, and cannot be named
            continue


def _statement(reader: Reader, text: str) -> tuple[Statement, Marks]:
    try:
        query = select(Statement).where(Statement.id == uuid.UUID(text))
    except ValueError:
        query = select(Statement).where(Statement.digest == text)
    for row, marks in _marked(reader, query):
        reader.require(Action.READ, Resource("statement", row.digest, namespace_of(row.about)))
        return row, marks
    # The list of revocations names a statement by its entry in the signature log.
    for row, marks in _marked(reader, select(Statement)) if text.startswith("sha256:") else ():
        if str(marks.entry) == text:
            return row, marks
    raise NotFound(
        f"there is no statement {text[:80]!r}", advice="Take id or digest from khatim version lineage or a dossier."
    )


def _logged(reader: Reader, text: str) -> Marks:
    for _, marks in _marked(reader, select(Statement)):
        if text == str(marks.log_index):
            return marks
    raise NotFound(f"no statement that was admitted stands at {text[:40]!r} in the signature log")


def _version(reader: Reader, text: str) -> ModelVersion | FeatureViewVersion | DatasetVersion:
    kind, colon, path = text.rpartition(":")
    match kind if colon else ModelVersion.KIND:
        case ModelVersion.KIND:
            return queries.numbered(reader, ModelVersion, path)
        case FeatureViewVersion.KIND:
            return queries.numbered(reader, FeatureViewVersion, path)
        case DatasetVersion.KIND:
            return queries.numbered(reader, DatasetVersion, path)
        case _:
            raise Malformed(f"not an artifact: {text[:120]!r}", advice="Write sha256:… or namespace/name@number.")
