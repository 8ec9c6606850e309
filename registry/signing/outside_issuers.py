# SPDX-License-Identifier: Apache-2.0
"""Outside issuers of tokens (OpenID Connect), on whose word the authority certifies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from khatim import tokens
from khatim.errors import Unauthenticated
from registry.signing.identity import Identity
from registry.signing.published_keys import PublishedKeys
from registry.signing.vouching import AUDIENCE, Vouched


@dataclass(frozen=True)
class OutsideIssuer:
    """One issuer: its keys, and the *claim* that names the person."""

    keys: PublishedKeys
    claim: Literal["email", "sub"] = "sub"

    @property
    def url(self) -> str:
        """Return the issuer as it stands in its tokens."""
        return self.keys.url

    def vouch(self, token: str, at: datetime) -> Vouched:
        """Return who *token* stands for; raises `Unauthenticated`, or `Unavailable` when the keys cannot be had."""
        claims = tokens.read_foreign(token, self.keys.of(token), issuer=self.url, audience=AUDIENCE, at=at)
        email, subject = claims.get("email"), str(claims["sub"])
        if self.claim == "sub":
            # RFC 3986 section 2.3 aside: what the certificate can carry is checked when it is made.
            return Vouched(Identity(subject, self.url), str(email) if email else subject)
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise Unauthenticated("the token names no email address that its issuer has verified")
        return Vouched(Identity(email, self.url), email)
