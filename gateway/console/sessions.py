# SPDX-License-Identifier: Apache-2.0
"""Signing in to the console: with a one-time link in local mode, else with the identity provider; and signing out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from fastapi import Request, Response

from audit.answers import AlreadyAnsweredError, Question
from audit.transaction import Transaction
from gateway.composition import Parts
from gateway.console import addresses
from gateway.oidc import Begun, Provider
from gateway.sign_in import COOKIE, OIDC, cookie_of, name_in, require_loopback, roles_of
from khatim import tokens
from khatim.errors import Forbidden, IdempotencyMismatch, LinkUsed, Malformed, NotFound, Unauthenticated
from khatim.vocabulary import SERVICE, Actor, ActorKind
from registry import people, sessions
from runners.agents import AUDIENCE

UNDER_WAY: Final = "khatim_sign_in"
_BEGUN_FOR: Final = timedelta(minutes=10)
_ADVICE: Final = "Sign in again."


def require_same_origin(request: Request) -> None:
    """Refuse a form that another site sent (Fetch Metadata; browsers set the header, pages cannot)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("this form came from another site", rule="csrf/origin")


# -- one-time links --


def link_claims(request: Request, wiring: Parts, link: str) -> Mapping[str, Any]:
    """Return for whom *link* is; raises `Unauthenticated`.  Looking does not use it up: chats and mailers look too."""
    require_loopback(request)
    return wiring.authenticator.link_claims(link)


def redeem(request: Request, wiring: Parts, link: str) -> str:
    """Turn a link into a session's cookie, once; raises `LinkUsed`, `TokenExpired` or `Unauthenticated`."""
    require_same_origin(request)
    claims = link_claims(request, wiring, link)
    roles, groups = roles_of(claims["roles"]), [str(one) for one in claims.get("groups", ())]
    actor = Actor(str(claims["sub"]), ActorKind.PERSON, roles)
    with wiring.ledger.transaction(actor) as tx:
        _once(tx, f"sign-in {claims['jti']}", LinkUsed("this sign-in link was used before"))
        people.know(tx, actor.ref, str(claims["name"]), vault=wiring.vault)
        session = sessions.begin(tx, by="one-time link", roles=roles, groups=groups, link=str(claims["jti"]))
    return cookie_of(wiring.issuer, session, str(claims["name"]), by="link")


def _once(tx: Transaction, key: str, otherwise: Exception) -> None:
    # Another fingerprint each time: the key was taken once, and no second request is the same one.
    try:
        tx.answer_once(Question(tx.actor.ref, key, secrets.token_hex(16)))
    except (IdempotencyMismatch, AlreadyAnsweredError) as error:
        raise otherwise from error


# -- the identity provider --


def provider_of(wiring: Parts) -> Provider:
    """Return the provider whose people use the console; raises `NotFound` where there is none."""
    provider = wiring.authenticator.provider
    if provider is None or not provider.settings.client_id:
        raise NotFound("nobody signs in to this console with an identity provider")
    return provider


def keep_under_way(request: Request, response: Response, wiring: Parts, begun: Begun, then: str) -> None:
    """Give the browser what must come back with the provider's answer, and where it wanted to go."""
    token = tokens.issue(
        wiring.issuer.key, kind="sign-in", subject="sign-in", audience=AUDIENCE, issuer=wiring.issuer.issuer,
        at=wiring.ledger.clock(), ttl=_BEGUN_FOR, state=begun.state, nonce=begun.nonce, verifier=begun.verifier,
        then=then if addresses.is_ours(then) else addresses.MODELS,
    )  # fmt: skip
    response.set_cookie(
        UNDER_WAY, token, max_age=int(_BEGUN_FOR.total_seconds()), path=addresses.SIGN_IN, httponly=True,
        samesite="lax", secure=_is_secure(request, wiring),
    )  # fmt: skip


def under_way(request: Request, wiring: Parts) -> Mapping[str, Any]:
    """Return what this browser began; raises `Unauthenticated` when it began nothing, or too long ago."""
    key = wiring.issuer.key.public_key()
    cookie = request.cookies.get(UNDER_WAY, "")
    if not cookie:
        raise Unauthenticated("this browser did not begin to sign in here", advice=_ADVICE)
    return tokens.read(cookie, key, audience=AUDIENCE, at=wiring.ledger.clock(), kind="sign-in")


def complete(request: Request, wiring: Parts) -> tuple[str, str]:
    """Return the cookie of the session that the provider's answer leads to, and where the browser wanted to go."""
    begun, provider, guard = under_way(request, wiring), provider_of(wiring), wiring.authenticator
    claims, _ = provider.finish(str(request.url), begun, wiring.ledger.clock())
    person, brought = provider.person(str(claims["sub"])), guard.brought_by(claims)
    guard.standings.of(person, brought.groups)  # raises for one who is cut off
    actor = Actor(person, ActorKind.PERSON, groups=brought.groups, strength=brought.strength)
    with wiring.ledger.transaction(actor) as tx:
        _once(tx, f"sign-in {begun['jti']}", Unauthenticated("this sign-in was completed before", advice=_ADVICE))
        session = sessions.begin(
            tx, by="identity provider", groups=brought.groups, strength=brought.strength,
            provider_session=str(claims.get("sid", "")),
        )  # fmt: skip
    return cookie_of(wiring.issuer, session, name_in(claims), by=OIDC), str(begun["then"])


def end_by_provider(wiring: Parts, token: str) -> None:
    """End what the provider's logout token names, once; raises `Malformed` for what is none."""
    said = provider_of(wiring).logout(token, wiring.ledger.clock())
    with wiring.ledger.transaction(SERVICE) as tx:
        _once(tx, f"logout {said.token}", Malformed("this logout token was used before"))
        sessions.end_by_provider(tx, person=said.person, session=said.session)


# -- cookies --


def end(request: Request, wiring: Parts) -> None:
    """End the session of this browser."""
    claims = wiring.authenticator.session_claims(request)
    with wiring.ledger.transaction(Actor(str(claims["sub"]), ActorKind.PERSON)) as tx:
        sessions.end_own(tx, str(claims["jti"]))
    wiring.authenticator.sessions.forget(str(claims["jti"]))


def keep(request: Request, response: Response, wiring: Parts, session: str) -> None:
    """Give the browser its session: not readable by scripts, not sent by other sites' forms."""
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(sessions.TTL.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=_is_secure(request, wiring),
    )
    response.delete_cookie(UNDER_WAY, path=addresses.SIGN_IN)


def _is_secure(request: Request, wiring: Parts) -> bool:
    """Whether browsers reach this over TLS, also where a proxy does not say so."""
    oidc = wiring.settings.oidc
    return request.url.scheme == "https" or (oidc is not None and oidc.public_url.startswith("https:"))


def forget(response: Response) -> None:
    """Take the session away from the browser."""
    response.delete_cookie(COOKIE)
