# SPDX-License-Identifier: Apache-2.0
"""Judging a version offline by its dossier: every signature, digest and binding from the model to the raw file.

The registry's word counts for nothing here: what it says is compared with what was signed, and who may sign what comes
from the trusted root and from the rules of this checkout, not from the registry.  What was revoked comes from the
registry's signed list, which must be complete and not overdue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from khatim.cli.judgements import Check, Judgement
from khatim.errors import Misconfigured, SignatureInvalid, VerificationFailed
from khatim.wire import proofs

if TYPE_CHECKING:
    from registry.signing.bases import Circumstances
    from registry.signing.revocation_list import SignedList
    from registry.signing.verification import TrustRoot

ASK_LIST = "Fetch the list again from the registry itself; until then nobody can say what was revoked since."


def judge(
    dossier: proofs.Dossier,
    trusted_root: Mapping[str, Any],
    *,
    at: datetime,
    now: datetime | None = None,
    known: int = 0,
    around: Mapping[str, Circumstances] | None = None,
) -> Judgement:
    """Judge *dossier* against *trusted_root* as of *at*; raises `Misconfigured` when that is no trusted root.

    *known* is the number of a list of revocations that was seen before: an older one raises `VerificationFailed`.
    *around* tells by the digest of a statement what is known about its place in a witnessed ledger.
    """
    from khatim.cli.court import Court
    from registry.signing.revocation import Book
    from registry.signing.trust import dumps
    from registry.signing.verification import TrustRoot

    now = now or datetime.now(UTC)
    root, instance = TrustRoot.load(dumps(trusted_root)), instance_of(trusted_root)
    root, appointing = _appointed(root, dossier, instance)
    try:
        listed = _list_of(dossier, root, instance, known)
    except SignatureInvalid as wrong:
        book, told = Book(), "none that verifies"
        general = [Check("revocations", holds=False, why=wrong.detail, advice=ASK_LIST)]
    else:
        book, told = listed.book, f"list {listed.number} of {listed.issued_at:%Y-%m-%d %H:%M:%S} UTC"
        general = [_overdue(listed, now)]
    court = Court(dossier, root, instance, book, at, now, around or {})
    stations = tuple(court.station(node) for node in from_the_top(dossier.nodes))
    own = stations[0].statements
    return Judgement(
        dossier=dossier,
        instance=instance,
        at=at,
        stations=stations,
        consents=tuple(court.consent(one, own) for one in dossier.approvals),
        evidence=tuple(court.evidence(one, own) for one in dossier.evidence),
        general=(*general, *appointing, *court.bytes_allowed(), court.version_stands()),
        revocations=told,
    )


def _appointed(root: TrustRoot, dossier: proofs.Dossier, instance: str) -> tuple[TrustRoot, list[Check]]:
    """Return the root with those whom its authority appointed to sign for the registry, and whether that holds."""
    from registry.signing.appointments import appointed

    if not dossier.appointments:
        return root, []
    try:
        return appointed(root, dossier.appointments, instance), [Check("appointments", holds=True)]
    except SignatureInvalid as wrong:
        return root, [Check("appointments", holds=False, why=wrong.detail, advice=ASK_LIST)]


def _list_of(dossier: proofs.Dossier, root: TrustRoot, instance: str, known: int) -> SignedList:
    from registry.signing import revocation_list

    listed = revocation_list.read(dossier.revocations, root, instance=instance)
    if listed.number < known:
        raise VerificationFailed(
            f"the list of revocations is number {listed.number}, but you know number {known}",
            advice="Somebody serves an old list. Ask the registry itself, on another way.",
        )
    return listed


def _overdue(listed: SignedList, now: datetime) -> Check:
    if listed.is_fresh(now):
        return Check("revocations", holds=True)
    why = f"the list of revocations was to be renewed by {listed.next_update:%Y-%m-%d %H:%M:%S} UTC"
    return Check("revocations", holds=False, why=why, advice=ASK_LIST)


def from_the_top(nodes: Sequence[proofs.Node]) -> list[proofs.Node]:
    """Return the nodes of a lineage, each after everything that was made from it: the model first, raw files last."""
    depth = {node.ref: 0 for node in nodes}
    for _ in nodes:  # as many rounds as the longest way can have steps, so that even a circle ends
        for node in nodes:
            for parent, _role in node.made_from:
                if parent in depth:
                    depth[parent] = min(max(depth[parent], depth[node.ref] + 1), len(nodes))
    return sorted(nodes, key=lambda node: depth[node.ref])


def instance_of(trusted_root: Mapping[str, Any]) -> str:
    """Return the name of the instance whose trusted root this is; raises `Misconfigured`."""
    try:
        host = urlsplit(trusted_root["certificateAuthorities"][0]["uri"]).hostname or ""
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Misconfigured("this is not a trusted root: it names no certificate authority") from error
    if not (host.startswith("ca.") and host.endswith(".khatim")):
        raise Misconfigured(f"the authority {host!r} of this trusted root is not a Khatim instance's")
    return host.removeprefix("ca.").removesuffix(".khatim")
