# SPDX-License-Identifier: Apache-2.0
"""Artifacts: bytes that stand in a zone's store.  The registry sees digests and issues tickets; it never sees bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import select

from audit.transaction import Transaction
from khatim.errors import ResidencyRefused
from khatim.vocabulary import Action, Decision, Resource
from policies.loading import PolicyBundle
from policies.requirements import UNDECLARED
from policies.residency import Movement, MovementKind
from registry import queries, standing, transfers
from registry.events import ArtifactDownloadAuthorised, ArtifactPlaced, ArtifactTagged, ArtifactUploadAuthorised
from registry.tables import Placement


def admit_upload(  # noqa: PLR0913 - one ticket speaks about all of these
    tx: Transaction,
    digest: str,
    *,
    zone: str,
    size: int,
    media_type: str,
    tags: Sequence[str],
    rules: PolicyBundle,
    purpose: str = "",
    namespace: str = "",
) -> Decision:
    """Let the actor bring *size* bytes of *digest* into *zone* for *namespace*, if access and residency allow it.

    Bytes that stand elsewhere already are not new here, whatever is said about them: they move, and as what they are.
    """
    resource = Resource("artifact", digest, zone=zone, tags=frozenset(tags))
    tx.require(Action.ARTIFACT_UPLOAD, replace(resource, namespace=namespace))
    standing.require_usable(tx, [digest], "these bytes may not be brought in")
    names = partial(queries.names_of, tx, digest)
    decision = decide_movement(tx, MovementKind.PLACE, zone, zone, tags, rules, purpose=purpose, names=names)
    for copy in queries.placements_of(tx, [digest]):
        kind = MovementKind.PLACE if copy.zone == zone else MovementKind.REPLICATE
        decide_movement(tx, kind, copy.zone, zone, copy.tags, rules, purpose=purpose, names=names)
    tx.record(
        ArtifactUploadAuthorised(
            about=str(resource),
            namespace=namespace,
            zone=zone,
            size=size,
            media_type=media_type,
            rule=decision.rule,
            because=decision.reason,
            policy=str(rules.digest),
        )
    )
    return decision


def admit_download(  # noqa: PLR0913 - the ends of the way, the purpose and the rules
    tx: Transaction, digest: str, *, zone: str, to_zone: str, rules: PolicyBundle, purpose: str = ""
) -> Placement:
    """Let the actor take *digest* out of *zone* to be read in *to_zone*, if access and residency allow it."""
    placed = queries.placement(tx, digest, zone)
    for namespace in sorted(queries.owners_of(tx, digest)) or [""]:
        tx.require(Action.ARTIFACT_DOWNLOAD, replace(placed.resource, namespace=namespace))
    standing.require_usable(tx, [digest], "these bytes may not be taken out")
    names = partial(queries.names_of, tx, digest)
    way = (MovementKind.DOWNLOAD, zone, to_zone)
    decision = decide_movement(tx, *way, placed.tags, rules, purpose=purpose, names=names)
    for copy in queries.placements_of(tx, [digest]):  # what is known of these bytes in another zone holds here as well
        decide_movement(tx, *way, copy.tags, rules, purpose=purpose, names=names)
    tx.record(
        ArtifactDownloadAuthorised(
            about=placed.ref,
            zone=zone,
            to_zone=to_zone,
            rule=decision.rule,
            because=decision.reason,
            policy=str(rules.digest),
        )
    )
    return placed


def place(  # noqa: PLR0913 - the columns of one placement
    tx: Transaction, digest: str, *, zone: str, size: int, media_type: str, tags: Sequence[str], basis: str
) -> Placement:
    """Note that the zone's agent (the actor) holds *digest*.  A second report of the same copy adds tags, at most."""
    tx.require(Action.JOB_REPORT, Resource("artifact", digest, zone=zone))
    standing.require_usable(tx, [digest], "these bytes may not be placed")
    tx.lock(f"placement:{zone}:{digest}")
    known: Placement | None = tx.scalar(select(Placement).where(Placement.digest == digest, Placement.zone == zone))
    if known is not None:
        return _with_tags(tx, known, tags, basis)
    row = Placement(
        digest=digest,
        zone=zone,
        size=size,
        media_type=media_type,
        tags=sorted(set(tags)),
        basis=basis,
        placed_by=tx.actor.ref,
        placed_at=tx.now,
    )
    tx.add(row)
    tx.record(ArtifactPlaced(about=row.ref, zone=zone, size=size, media_type=media_type, basis=basis, tags=row.tags))
    return row


def _with_tags(tx: Transaction, known: Placement, tags: Sequence[str], basis: str) -> Placement:
    """Let *known* carry *tags* as well.  Of bytes that came without any it was said that they are personal."""
    added = set(tags) - set(known.tags)
    if added:
        known.tags = sorted({*(known.tags or UNDECLARED), *added})
        tx.record(ArtifactTagged(about=known.ref, zone=known.zone, tags=known.tags, added=sorted(added), basis=basis))
    return known


def decide_movement(  # noqa: PLR0913, PLR0917 - a movement has two ends, a kind, tags and rules
    tx: Transaction,
    kind: MovementKind,
    zone: str,
    to_zone: str,
    tags: Sequence[str],
    rules: PolicyBundle,
    *,
    purpose: str = "",
    names: transfers.Names = tuple,
) -> Decision:
    """Ask the residency rules and the transfer authorisations on record.

    *names* gives those under which the bytes are known.  Raises `ResidencyRefused` with rule id, legal basis and
    certainty.
    """
    movement = Movement(kind=kind, from_zone=zone, to_zone=to_zone, tags=frozenset(tags), purpose=purpose)
    decision = transfers.decide(tx, movement, rules, names)
    if not decision:
        raise ResidencyRefused(
            decision.reason,
            advice=decision.advice,
            from_zone=zone,
            to_zone=to_zone,
            movement=kind.value,
            **decision.as_members(),
        )
    return decision
