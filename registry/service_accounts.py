# SPDX-License-Identifier: Apache-2.0
"""Service accounts: programs with a name, a person who answers for them, and tokens of which only a hash is kept.

Opening one gives nothing: it holds roles on record only, which another person gives.  Duties are separated by natural
person, and what a program did counts as done by its sponsor (`registry.accounts`).
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from datetime import timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Reader, Transaction
from khatim.errors import Conflict, Malformed, NotFound, Unauthenticated
from khatim.vocabulary import Action, Role
from khatim.wire import service_accounts as wire
from registry import accounts, people
from registry.service_account_events import (
    ServiceAccountClosed,
    ServiceAccountOpened,
    ServiceTokenIssued,
    ServiceTokenRevoked,
)
from registry.service_account_tables import CLOSED, OPEN, ServiceAccount, ServiceToken
from registry.tables import Person

PREFIX: Final = "khatim_sat_"
"""What a token begins with: scanners of leaked secrets know it by that."""
_SECRET: Final = 32  # bytes of randomness: a plain hash is enough, there is nothing to guess


def open_(tx: Transaction, body: wire.OpenServiceAccount, *, issuers: frozenset[str]) -> ServiceAccount:
    """Open a service account.  *issuers* are those whose tokens may open one.

    Raises `Conflict` for a name that was ever taken, `NotFound` for a sponsor whom nobody knows, `Malformed`.
    """
    row = ServiceAccount(
        id=tx.new_id(), name=body.name, sponsor=body.sponsor, purpose=body.purpose, issuer=body.issuer,
        audience=body.audience, claims=dict(body.claims), state=OPEN, created_by=tx.actor.ref, created_at=tx.now,
    )  # fmt: skip
    tx.require(Action.SERVICE_ACCOUNT_MANAGE, row.resource)
    if len({bool(body.issuer), bool(body.audience), bool(body.claims)}) != 1:
        raise Malformed("issuer, audience and claims go together: each alone would let too many in")
    if body.issuer and body.issuer not in issuers:
        raise Malformed(
            f"tokens of {body.issuer} open no service account here",
            advice="Propose the issuer in sign_in.yaml (pipelines): khatim policy propose.",
        )
    tx.lock(f"service-account:{body.name}")
    if tx.scalar(select(ServiceAccount.id).where(ServiceAccount.name == body.name)) is not None:
        raise Conflict(f"the name {body.name} is taken, or was: names are not used again")
    if tx.scalar(select(Person).where(Person.ref_ == body.sponsor)) is None or people.is_erased(tx, body.sponsor):
        raise NotFound(f"nobody is known as {body.sponsor}", advice="A sponsor has signed in at least once.")
    tx.add(row)
    tx.record(
        ServiceAccountOpened(
            about=row.ref, also=(f"person:{row.sponsor}",), sponsor=row.sponsor, purpose=row.purpose,
            issuer=row.issuer, audience=row.audience, claims=row.claims,
        )
    )  # fmt: skip
    return row


def close(tx: Transaction, name: str, *, because: str) -> ServiceAccount:
    """Close an account for good; its tokens open nothing from the next request on."""
    row = named(tx, name, for_update=True)
    tx.require(Action.SERVICE_ACCOUNT_MANAGE, row.resource)
    if row.state == CLOSED:
        raise Conflict("the account is closed already")
    row.state, row.closed_by, row.closed_at, row.closed_because = CLOSED, tx.actor.ref, tx.now, because
    tx.record(ServiceAccountClosed(about=row.ref, because=because))
    return row


def issue(tx: Transaction, name: str, body: wire.IssueToken) -> tuple[ServiceToken, str]:
    """Issue a token and return it, this once; by the sponsor, or by who manages accounts."""
    row = named(tx, name, for_update=True)
    _require_hold(tx, row)
    if row.state == CLOSED:
        raise Conflict("the account is closed")
    secret = secrets.token_bytes(_SECRET)
    token = ServiceToken(
        id=tx.new_id(), account_id=row.id, account=row.ref, hash=sha256(secret).digest(),
        roles=sorted(one.value for one in set(body.roles)), namespaces=sorted(set(body.namespaces)),
        created_by=tx.actor.ref, created_at=tx.now, expires_at=tx.now + timedelta(days=body.days),
    )  # fmt: skip
    tx.add(token)
    tx.record(
        ServiceTokenIssued(
            about=token.ref, also=(row.ref,), account=row.ref, roles=token.roles, namespaces=token.namespaces,
            expires_at=moment(token.expires_at),
        )
    )  # fmt: skip
    return token, f"{PREFIX}{token.id.hex}{secret.hex()}"


def revoke(tx: Transaction, name: str, token: str, *, because: str) -> ServiceToken:
    """Take a token back: it opens nothing from the next request on."""
    row = named(tx, name)
    _require_hold(tx, row)
    found = next((one for one in tokens_of(tx, row) if str(one.id) == token), None)
    if found is None:
        raise NotFound(f"{row.name} has no token {token[:80]}")
    if found.revoked_at is not None:
        raise Conflict("the token was revoked already")
    found.revoked_by, found.revoked_at = tx.actor.ref, tx.now
    tx.record(ServiceTokenRevoked(about=found.ref, also=(row.ref,), account=row.ref, because=because))
    return found


def named(reader: Reader, name: str, *, for_update: bool = False) -> ServiceAccount:
    """Return the account of that name, if the actor may read it; raises `NotFound`."""
    query = select(ServiceAccount).where(ServiceAccount.name == name)
    row: ServiceAccount | None = reader.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"there is no service account {name[:80]!r}")
    reader.require(Action.READ, row.resource)
    return row


def tokens_of(reader: Reader, row: ServiceAccount) -> list[ServiceToken]:
    """Return the tokens of an account, the newest first."""
    query = select(ServiceToken).where(ServiceToken.account_id == row.id).order_by(ServiceToken.id.desc())
    return list(reader.scalars(query))


def shown(reader: Reader, token: str) -> tuple[ServiceAccount, ServiceToken]:
    """Return what a bearer's token stands for; raises `Unauthenticated` for one that opens nothing (any more).

    It asks no permission: this is how somebody becomes an actor.
    """
    try:
        given = bytes.fromhex(token.removeprefix(PREFIX))
        key, secret = uuid.UUID(bytes=given[:16]), given[16:]
    except ValueError as error:
        raise Unauthenticated("the token is not valid") from error
    query = select(ServiceAccount, ServiceToken).join(ServiceToken, ServiceToken.account_id == ServiceAccount.id)
    row = next(iter(reader.rows(query.where(ServiceToken.id == key))), None)
    if row is None or not hmac.compare_digest(row[1].hash, sha256(secret).digest()):
        raise Unauthenticated("the token is not valid")
    account, found = row
    if account.state == CLOSED or found.revoked_at is not None or found.expires_at <= reader.now:
        raise Unauthenticated("the token has ended", advice="khatim service-account token NAME issues another.")
    return account, found


def pipelines_of(reader: Reader, issuer: str) -> list[ServiceAccount]:
    """Return the open accounts that tokens of *issuer* may open."""
    return list(
        reader.scalars(select(ServiceAccount).where(ServiceAccount.issuer == issuer, ServiceAccount.state == OPEN))
    )


def roles_in(token: ServiceToken) -> frozenset[Role]:
    """Return the roles that a token is kept to; none means all."""
    return frozenset(map(Role, token.roles))


def _require_hold(tx: Transaction, row: ServiceAccount) -> None:
    """Demand that the actor be the sponsor, or manage accounts."""
    if not accounts.is_actor(tx, row.sponsor):
        tx.require(Action.SERVICE_ACCOUNT_MANAGE, row.resource)
