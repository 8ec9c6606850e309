# SPDX-License-Identifier: Apache-2.0
"""Who asks: bearer tokens for programs, a session cookie for the console, one-time links in local mode.

Local mode (no identity provider) works on loopback only and says so on every page.  With OIDC configured it is off:
its tokens, sessions and links are refused, whatever key signed them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Request

from audit.transaction import Clock, Ledger
from gateway.live_sessions import Brought, LiveSessions
from gateway.oidc import Provider
from gateway.programs import Program, Programs
from gateway.standings import Standings
from khatim import tokens
from khatim.errors import Forbidden, Malformed, Misconfigured, TokenExpired, Unauthenticated
from khatim.settings import Settings, is_loopback
from khatim.vocabulary import NOBODY, SERVICE, Actor, ActorKind, Role
from policies.sign_in import SignInRules
from registry import people, service_accounts
from registry.session_tables import SignInSession
from registry.signing import identity, possession
from registry.signing.vouching import AUDIENCE as SIGSTORE
from registry.vault import Vault
from runners import agents
from runners.agents import AUDIENCE, TokenIssuer

COOKIE = "khatim_session"
OIDC = "oidc"
KNOWN_FOR = timedelta(minutes=1)  # how long an erased person may go on where they are known
LINK_TTL = timedelta(minutes=30)
LINK_LIFE = timedelta(hours=12)  # longer than any link, shorter than its use is remembered (`audit.answers`)
ENROLMENT = "/v1/agent/enrolment"
_AGENT_KINDS = {"agent": "agent:", "enrolment": "enrolment:"}


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Read role names (``model risk approver``, ``model_risk_approver``); raises `Malformed` naming the known ones."""
    try:
        return frozenset(Role(name.strip().lower().replace("_", "-").replace(" ", "-")) for name in names)
    except ValueError as error:
        known = ", ".join(role.value for role in Role if role is not Role.AGENT)
        raise Malformed(f"{error}", advice=f"The roles are: {known}.") from error


@dataclass(frozen=True)
class LocalTokens:
    """Issues local people's tokens and links.  Exists in local mode only."""

    issuer: TokenIssuer

    def access(  # noqa: PLR0913 - the claims of a person's token
        self,
        ref: str,
        name: str,
        roles: frozenset[Role],
        *,
        at: datetime,
        ttl: timedelta,
        groups: Sequence[str] = (),
    ) -> str:
        """Issue a bearer token for the API."""
        return self._issue("access", ref, name, roles, at, ttl, groups)

    def link(  # noqa: PLR0913 - the claims of a person's token
        self,
        ref: str,
        name: str,
        roles: frozenset[Role],
        *,
        at: datetime,
        ttl: timedelta = LINK_TTL,
        groups: Sequence[str] = (),
    ) -> str:
        """Issue the token of a one-time sign-in link."""
        return self._issue("link", ref, name, roles, at, ttl, groups)

    def sigstore(self, ref: str, *, at: datetime, ttl: timedelta) -> str:
        """Issue a token that earns a signing certificate in the person's opaque name, and opens nothing else."""
        subject = identity.person(self.issuer.instance, ref)
        return tokens.issue(
            self.issuer.key, kind="signing", subject=subject, audience=SIGSTORE, issuer=self.issuer.issuer,
            at=at, ttl=ttl,
        )  # fmt: skip

    def _issue(  # noqa: PLR0913, PLR0917 - the claims of a person's token
        self,
        kind: str,
        ref: str,
        name: str,
        roles: frozenset[Role],
        at: datetime,
        ttl: timedelta,
        groups: Sequence[str],
    ) -> str:
        if Role.AGENT in roles:
            raise Misconfigured("a person cannot be an agent; enrol one with: khatim agent invite")
        return tokens.issue(
            self.issuer.key,
            kind=kind,
            subject=ref,
            audience=AUDIENCE,
            issuer=self.issuer.issuer,
            at=at,
            ttl=ttl,
            name=name,
            roles=sorted(role.value for role in roles),
            groups=sorted(groups),
        )


def cookie_of(issuer: TokenIssuer, session: SignInSession, name: str, *, by: str) -> str:
    """Return what a browser keeps of *session*: whose it is, and its id; what it brought stays in the database."""
    return tokens.issue(
        issuer.key, kind="session", subject=session.person, audience=AUDIENCE, issuer=issuer.issuer,
        at=session.opened_at, ttl=session.expires_at - session.opened_at, jti=str(session.id), name=name, by=by,
    )  # fmt: skip


@dataclass
class Authenticator:
    """Turns a request into an actor.  People are noted at their first sight.

    *rules* say what a sign-in with the *provider* brings; they change when the policy does.
    """

    settings: Settings
    ledger: Ledger
    key: Ed25519PrivateKey
    clock: Clock
    vault: Vault
    standings: Standings
    provider: Provider | None = None
    rules: SignInRules = field(default_factory=SignInRules)
    sessions: LiveSessions = field(init=False)
    programs: Programs = field(init=False)
    _known: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Ask for sessions and programs where the rest is asked."""
        self.sessions, self.programs = LiveSessions(self.ledger), Programs(self.ledger)

    def __call__(self, request: Request) -> Actor:
        """Return who asks, `NOBODY` without credentials; raises `Unauthenticated` for credentials that do not hold."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            proof = request.headers.get(possession.HEADER, "") if request.url.path == possession.RENEWAL_PATH else ""
            actor = self.bearer(token.strip(), proof)
            if actor.ref.startswith(_AGENT_KINDS["enrolment"]) and request.url.path != ENROLMENT:
                raise Unauthenticated("a one-time enrolment token enrols an agent and opens nothing else")
            return actor
        if scheme:
            raise Unauthenticated("only bearer tokens are understood")
        if request.cookies.get(COOKIE):
            # The cookie is for the console; the API's writing routes take bearer tokens only, so no form can forge one.
            if request.method not in ("GET", "HEAD") and request.url.path.startswith(("/v1", "/api")):
                raise Forbidden("the API does not take cookies for changes", rule="csrf/bearer-only")
            return self.visitor(request)[0]
        return NOBODY

    def visitor(self, request: Request) -> tuple[Actor, str]:
        """Return whose live session the browser's cookie names, and their name; raises `Unauthenticated`."""
        claims = self.session_claims(request)
        name = str(claims["name"])
        return self._person(str(claims["sub"]), name, self.sessions.of(str(claims["jti"]))), name

    def bearer(self, token: str, proof: str = "") -> Actor:
        """Return the actor of a bearer token; *proof* is by an agent that was away until its identity ended."""
        if token.startswith(service_accounts.PREFIX):
            return self._program(self.programs.of_token(token))
        issuer = tokens.issuer_of(token)
        if self.provider is not None and issuer == self.provider.settings.issuer:
            return self._foreign(self.provider, token)
        if issuer in self.rules.pipelines:
            return self._program(self.programs.of_claims(token, issuer))
        kind = tokens.kind_of(token)
        if kind not in _AGENT_KINDS:
            claims = self._claims(token, "access")
            groups = frozenset(map(str, claims.get("groups", ())))
            return self._person(str(claims["sub"]), str(claims["name"]), Brought(roles_of(claims["roles"]), groups))
        returns = ""
        try:
            claims = self._claims(token, kind)
        except TokenExpired:
            if not proof or kind != "agent":
                raise
            claims = self._claims(token, kind, grace=agents.AWAY)
            returns = possession.returning(token, proof, issuer=str(claims["iss"]), at=self.clock())
        if not str(claims["sub"]).startswith(_AGENT_KINDS[kind]):
            raise Unauthenticated("the token is not valid")
        actor = agents.actor_for(str(claims["sub"]), str(claims["zone"]))
        if kind == "agent":
            # Also for reading: a retired agent's identity is worth nothing, however long its token still lasts.
            with self.ledger.reading(actor) as reader:
                agent = agents.of_actor(reader)
            if returns:
                agents.require_key(agent, returns)
        return actor

    def session_claims(self, request: Request) -> Mapping[str, Any]:
        """Return the claims of the console's session; raises `Unauthenticated` without one.

        Whether it goes on is for `visitor` to say.
        """
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            raise Unauthenticated("sign in first")
        claims = self._read(cookie, "session")
        if (claims.get("by") == OIDC) is self.settings.is_local:
            raise Unauthenticated("this session was begun by another way of signing in", advice="Sign in again.")
        return claims

    def link_claims(self, link: str) -> Mapping[str, Any]:
        """Return for whom a one-time link was made; whether it was used is known when it is redeemed."""
        claims = self._claims(link, "link")
        if timedelta(seconds=claims["exp"] - claims["iat"]) > LINK_LIFE:
            raise Unauthenticated("the link was made for too long a time")
        return claims

    def csrf_token(self, claims: Mapping[str, Any]) -> str:
        """Return the token that every form of this session carries."""
        return hmac.new(self.key.private_bytes_raw(), f"csrf {claims['jti']}".encode(), sha256).hexdigest()

    def check_csrf(self, request: Request, given: str) -> None:
        """Refuse a form that this session's pages did not make."""
        if not hmac.compare_digest(self.csrf_token(self.session_claims(request)), given):
            raise Forbidden("this form was not made by your session", advice="Open the page again.", rule="csrf/token")

    def _claims(self, token: str, kind: str, *, grace: timedelta = tokens.LEEWAY) -> Mapping[str, Any]:
        claims = self._read(token, kind, grace)
        if kind not in _AGENT_KINDS and not self.settings.is_local:
            raise Unauthenticated("local tokens are refused: this installation signs people in with OIDC")
        return claims

    def _read(self, token: str, kind: str, grace: timedelta = tokens.LEEWAY) -> Mapping[str, Any]:
        return tokens.read(token, self.key.public_key(), audience=AUDIENCE, at=self.clock(), kind=kind, grace=grace)

    def _foreign(self, provider: Provider, token: str) -> Actor:
        claims = provider.access(token, self.clock())
        return self._person(provider.person(str(claims["sub"])), name_in(claims), self.brought_by(claims))

    def _program(self, program: Program) -> Actor:
        self.standings.of(program.sponsor, frozenset())  # raises for one who is cut off: their programs go with them
        held = program.keeps(self.standings.of(program.ref, frozenset()))
        return Actor(program.ref, ActorKind.SERVICE_ACCOUNT, assignments=held)

    def brought_by(self, claims: Mapping[str, Any]) -> Brought:
        """Return what a token of the provider brings; raises `Unauthenticated` for one of a program."""
        # RFC 9068 section 2.2: of a program's own token the subject is the client.
        if claims["sub"] in {claims.get("client_id"), claims.get("azp")} or claims.get("idtyp") == "app":
            raise Unauthenticated("a program does not sign in as a person")
        return Brought(groups=self.rules.groups_of(claims), strength=self.rules.strength_of(claims))

    def _person(self, ref: str, name: str, brought: Brought) -> Actor:
        roles, held = brought.roles | self.rules.brought_by(brought.groups), self.standings.of(ref, brought.groups)
        actor = Actor(
            ref, ActorKind.PERSON, roles, strength=brought.strength, groups=brought.groups, assignments=held
        )  # fmt: skip
        noted = self._known.get(ref)
        # Asked again from time to time: another process may have erased this person meanwhile.
        if noted is None or abs(self.clock() - noted) > KNOWN_FOR:
            self._note(actor, name)
        return actor

    def _note(self, actor: Actor, name: str) -> None:
        # By the service: no role, or one on record in some places only, does not let anybody read of people.
        with self.ledger.transaction(actor if actor.roles and not actor.assignments else SERVICE) as tx:
            people.know(tx, actor.ref, name, vault=self.vault)
        self._known[actor.ref] = self.clock()


def require_loopback(request: Request) -> None:
    """Refuse a sign-in link that comes from elsewhere than this machine."""
    if request.client is None or not is_loopback(request.client.host):
        raise Forbidden("sign-in links work on this machine only", rule="local/loopback")


def name_in(claims: Mapping[str, Any]) -> str:
    """Return what to call whom *claims* are about: for people only, it never decides anything."""
    told = (claims.get(one) for one in ("name", "preferred_username", "email"))
    return next((one[:200] for one in told if isinstance(one, str) and one.strip()), "")
