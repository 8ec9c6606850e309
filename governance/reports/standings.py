# SPDX-License-Identifier: Apache-2.0
"""How each statement of a bundle stands: whom it rests on, whether it held at the export, whether it holds now.

The bundle carries the registry's signed list of revocations, and the ledger of the bundle must tell the very same.
Whoever has a newer list judges by that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from audit.events import moment
from governance.reports import manifest
from governance.reports.archive import Archive
from governance.reports.checks import failed, text
from governance.reports.manifest import REVOCATIONS, Manifest
from governance.reports.scope import Said
from khatim.errors import SignatureInvalid, VerificationFailed
from khatim.vocabulary import Basis
from registry.signing import bases, revocation_list
from registry.signing.bases import Circumstances
from registry.signing.revocation import Book
from registry.signing.revocation_list import SignedList
from registry.signing.verification import TrustRoot, VerifiedStatement

RECORDED, LIFTED = "revocation.recorded", "revocation.lifted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One statement of the bundle; *why* and *advice* are empty while it holds."""

    file: str
    kind: str
    identity: str
    signed_at: datetime
    rests_on: tuple[Basis, ...]
    rests: str
    then_holds: bool
    now_holds: bool
    why: str
    advice: str


def carried(bundle: Archive, said: Manifest, root: TrustRoot, events: Iterable[Said]) -> SignedList | None:
    """Return the bundle's own list, held against its ledger; None for a format that has none."""
    if said.format == manifest.FORMAT_1:
        return None
    if REVOCATIONS not in said.files:
        raise failed(REVOCATIONS, "it is missing")
    try:
        listed = revocation_list.read(text(bundle, REVOCATIONS), root, instance=said.instance)
    except SignatureInvalid as wrong:
        raise VerificationFailed(f"{REVOCATIONS}: {wrong.detail}", advice=wrong.advice, place=REVOCATIONS) from wrong
    told = {int(one.payload.get("number", 0)): one for one in events if one.kind in (RECORDED, LIFTED)}
    if sorted(told) != list(range(1, listed.number + 1)):
        raise failed(REVOCATIONS, "it does not list exactly the revocations that the ledger tells")
    for one in listed.book.revocations:
        event = told[one.number]
        since = moment(one.since) if one.since else "the beginning"
        said_there = (event.kind, *(event.value(f"payload.{key}") for key in ("revoked", "target", "since", "because")))
        if said_there != (RECORDED, one.kind.value, one.target, since, one.because) or event.actor != one.by:
            raise failed(REVOCATIONS, f"number {one.number} is not what entry {event.index} tells")
    return listed


def newer(file: str, own: SignedList | None, root: TrustRoot, instance: str) -> SignedList:
    """Return a list that the verifier brings along; raises `VerificationFailed` when the bundle's own is newer."""
    try:
        listed = revocation_list.read(file, root, instance=instance)
    except SignatureInvalid as wrong:
        raise VerificationFailed(f"your list of revocations: {wrong.detail}", advice=wrong.advice) from wrong
    listed.require_not_before(own)
    return listed


def of_statements(
    verified: Mapping[str, VerifiedStatement],
    book: Book,
    said: Manifest,
    around: Mapping[str, Circumstances],
    now: datetime,
) -> tuple[Standing, ...]:
    """Return how every statement stands, in the order of the files; *around* says by file what was found around it."""
    found = []
    for file, one in sorted(verified.items()):
        standing = book.standing(one.marks, at=said.created_at, now=now)
        rests_on = bases.bases_of(one, said.instance, around[file])
        why = standing.now if not standing.now.holds else standing.then
        found.append(
            Standing(
                file=file,
                kind=one.kind,
                identity=one.identity,
                signed_at=one.signed_at,
                rests_on=rests_on,
                rests=bases.told(rests_on, one, said.instance),
                then_holds=standing.then.holds,
                now_holds=standing.now.holds,
                why=why.sentence,
                advice=why.advice,
            )
        )
    return tuple(found)
