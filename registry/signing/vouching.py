# SPDX-License-Identifier: Apache-2.0
"""Who a bearer token stands for when a certificate is asked for: our own tokens, and those of allowed issuers.

A token of the instance names an agent or a person of the instance.  A token of an outside issuer (OpenID Connect) is
verified with the keys that the issuer publishes, must be meant for ``sigstore``, and names whom the issuer says: a
verified email address or its subject, never one of our own names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from khatim import tokens
from khatim.errors import Unauthenticated
from registry.signing import identity
from registry.signing.identity import Identity

AUDIENCE = "sigstore"
LONGEST = timedelta(hours=1)  # for our own: nobody can take one back
_AGENTS_AUDIENCE = "khatim"
_ADVICE = "khatim token sigstore prints one; outside issuers are named in KHATIM_SIGNING__ISSUERS."


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who is vouched for, and what a proof of possession signs: the token's email, or else its subject."""

    identity: Identity
    challenge: str
    agent: str = ""  # the id, for an agent: a token alone does not earn a certificate in its name
    zone: str = ""


class Outsider(Protocol):
    """An outside issuer of tokens."""

    @property
    def url(self) -> str:
        """The issuer as it stands in its tokens."""
        ...

    def vouch(self, token: str, at: datetime) -> Vouched:
        """Return who *token* stands for; raises `Unauthenticated`, or `Unavailable` when its keys cannot be had."""
        ...


@dataclass(frozen=True)
class Vouching:
    """The issuers whose word counts for certificates of one instance."""

    instance: str
    issuer: str
    key: Ed25519PublicKey
    outsiders: Sequence[Outsider] = ()
    is_local: bool = True

    def vouch(self, token: str, at: datetime) -> Vouched:
        """Return who *token* stands for at *at*; raises `Unauthenticated` for any token that does not count."""
        claimed = tokens.issuer_of(token)
        if claimed == self.issuer:
            return self._own(token, at)
        for outsider in self.outsiders:
            if outsider.url == claimed:
                return self._foreign(outsider.vouch(token, at))
        raise Unauthenticated("the token is of an issuer whose word does not count here", advice=_ADVICE)

    def _own(self, token: str, at: datetime) -> Vouched:
        kind = tokens.kind_of(token)
        if kind == "agent":
            claims = tokens.read(token, self.key, audience=_AGENTS_AUDIENCE, at=at, kind=kind)
            ref, zone = str(claims["sub"]), str(claims.get("zone", ""))
            if not ref.startswith("agent:") or not zone:
                raise Unauthenticated("the token is not valid")
            agent = ref.removeprefix("agent:")
            return Vouched(Identity(identity.agent(self.instance, zone, agent), self.issuer), ref, agent, zone)
        if kind != "signing" or not self.is_local:
            raise Unauthenticated("this token does not stand for anybody who signs", advice=_ADVICE)
        claims = tokens.read(token, self.key, audience=AUDIENCE, at=at, kind=kind)
        if claims["exp"] - claims["iat"] > LONGEST.total_seconds():
            raise Unauthenticated("the token was made for too long a time")
        subject = str(claims["sub"])
        if not subject.startswith(identity.person(self.instance, "-").removesuffix("-")):
            raise Unauthenticated("the token is not valid")
        return Vouched(Identity(subject, self.issuer), subject)

    def _foreign(self, vouched: Vouched) -> Vouched:
        if vouched.identity.name.startswith(f"spiffe://{identity.domain(self.instance)}/"):
            raise Unauthenticated("only this instance itself vouches for its own names")
        return vouched
