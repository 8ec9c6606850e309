# SPDX-License-Identifier: Apache-2.0
"""Tickets of the zone door: what one allows, and the memory that makes an upload ticket good for one attempt.

The memory is a folder of empty files, one per used ticket, made with O_EXCL: two doors on one store cannot both
accept a ticket, and a restart or crash forgets none.  A file goes when its ticket would be refused as expired anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from khatim import tokens
from khatim.errors import TicketRefused, TokenExpired, Unauthenticated
from khatim.vocabulary import Digest
from runners.zone.staging import failures_as_ours, sync_folder

Op = Literal["put", "get"]
ADVICE = "Ask the registry for a ticket for this blob, and use it at this zone's door before it expires."
# Longer than the leeway with which an expired token is still accepted.
_KEEP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the registry allowed: one operation on one blob, for one holder, until it expires."""

    op: str
    digest: Digest
    max_size: int
    media_type: str
    id: str
    expires: datetime
    claims: Mapping[str, Any]


def ticket_of(authorization: str, keys: Sequence[Ed25519PublicKey], *, zone: str, at: datetime) -> Ticket:
    """Read the ticket of an ``Authorization`` header; any of *keys* may have signed it (keys roll over).

    Raises `Unauthenticated` without a valid ticket for this zone, `TokenExpired` when its time is over and
    `TicketRefused` when its claims say nothing that a door could honour.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the zone door needs a ticket", advice=ADVICE)
    claims = {**_claims_of(token.strip(), keys, zone=zone, at=at), "ticket": token.strip()}
    try:
        return Ticket(
            op=str(claims["op"]),
            digest=Digest.parse(str(claims["digest"])),
            max_size=max(0, int(claims.get("max_size") or 0)),
            media_type=str(claims.get("media_type") or "application/octet-stream"),
            id=str(claims["jti"]),
            expires=datetime.fromtimestamp(int(claims["exp"]), UTC),
            claims=claims,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise TicketRefused("the ticket names no blob and operation", advice=ADVICE) from error


def _claims_of(token: str, keys: Sequence[Ed25519PublicKey], *, zone: str, at: datetime) -> Mapping[str, Any]:
    refusal = Unauthenticated("this door trusts no key yet")
    for key in keys:
        try:
            return tokens.read(token, key, audience=f"zone:{zone}", at=at, kind="ticket")
        except TokenExpired as error:
            raise TokenExpired("the ticket has expired", advice=ADVICE) from error
        except Unauthenticated as error:
            refusal = error
    raise Unauthenticated(refusal.detail, advice=ADVICE) from refusal


def check(ticket: Ticket, *, op: Op, digest: Digest) -> None:
    """Raise `TicketRefused` unless *ticket* is for this operation and blob."""
    if ticket.op != op:
        raise TicketRefused(f"this ticket is for {ticket.op[:16]!r}, not for {op!r}", advice=ADVICE)
    if ticket.digest != digest:
        raise TicketRefused("this ticket is for another blob", advice=ADVICE, digest=str(ticket.digest))


class UsedTickets:
    """Remembers on disk which upload tickets were used."""

    def __init__(self, folder: Path) -> None:
        """Remember in *folder*, which is made when it is first needed."""
        self._folder = folder

    def use(self, ticket: Ticket, *, at: datetime) -> None:
        """Use up *ticket*, durably; raises `TicketRefused` when it was used before, whatever came of it."""
        until = int((ticket.expires + _KEEP).timestamp())
        name = f"{until:012d}-{hashlib.sha256(ticket.id.encode()).hexdigest()}"
        with failures_as_ours():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._forget(at)
            try:
                os.close(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            except FileExistsError as error:
                raise TicketRefused("this ticket was used before", advice=ADVICE) from error
            sync_folder(self._folder)

    def _forget(self, at: datetime) -> None:
        now = f"{int(at.timestamp()):012d}"
        for path in self._folder.iterdir():
            if path.name[:12] < now:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
