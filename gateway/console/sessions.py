# SPDX-License-Identifier: Apache-2.0
"""Signing in with a one-time link, in local mode: the link becomes a session, once, and the ledger says so."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import Request, Response

from audit.answers import AlreadyAnsweredError, Question
from audit.events import Event
from gateway.composition import Parts
from gateway.sign_in import COOKIE, SESSION_TTL, require_loopback, roles_of
from khatim.errors import Forbidden, IdempotencyMismatch, LinkUsed
from khatim.vocabulary import Actor, ActorKind
from registry import people


@dataclass(frozen=True, kw_only=True)
class SignedIn(Event):
    """A person signed in to the console."""

    kind: ClassVar[str] = "person.signed_in"
    by: str
    link: str


def require_same_origin(request: Request) -> None:
    """Refuse a form that another site sent (Fetch Metadata; browsers set the header, pages cannot)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("this form came from another site", rule="csrf/origin")


def link_claims(request: Request, wiring: Parts, link: str) -> Mapping[str, Any]:
    """Return for whom *link* is; raises `Unauthenticated`.  Looking does not use it up: chats and mailers look too."""
    require_loopback(request)
    return wiring.authenticator.link_claims(link)


def redeem(request: Request, wiring: Parts, link: str) -> str:
    """Turn a link into a session token, once; raises `LinkUsed`, `TokenExpired` or `Unauthenticated`."""
    require_same_origin(request)
    claims = link_claims(request, wiring, link)
    actor = Actor(str(claims["sub"]), ActorKind.PERSON, roles_of(claims["roles"]))
    # Another fingerprint each time: the key was taken once, and no second request is the same one.
    question = Question(actor.ref, f"sign-in {claims['jti']}", secrets.token_hex(16))
    with wiring.ledger.transaction(actor) as tx:
        try:
            tx.answer_once(question)
        except (IdempotencyMismatch, AlreadyAnsweredError) as error:
            raise LinkUsed("this sign-in link was used before") from error
        people.know(tx, actor.ref, str(claims["name"]), vault=wiring.vault)
        tx.record(SignedIn(about=f"person:{actor.ref}", by="one-time link", link=str(claims["jti"])))
        at = tx.now
    return wiring.local_tokens.session(claims, at=at)


def keep(request: Request, response: Response, session: str) -> None:
    """Give the browser its session: not readable by scripts, not sent by other sites' forms."""
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_TTL.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def forget(response: Response) -> None:
    """Take the session away from the browser."""
    response.delete_cookie(COOKIE)
