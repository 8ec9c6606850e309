# SPDX-License-Identifier: Apache-2.0
"""Outside issuers of tokens (OpenID Connect): their keys are fetched where they publish them, and kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx

from khatim import tokens
from khatim.errors import Malformed, Unauthenticated, Unavailable
from registry.signing.encoding import strict_json
from registry.signing.identity import Identity
from registry.signing.vouching import AUDIENCE, Vouched

KEPT_S = 600.0
AGAIN_S = 30.0  # how soon an unknown key makes us look again: a stranger's token must not make us a flood
_DISCOVERY = "/.well-known/openid-configuration"
_MOST = 256 * 1024


@dataclass
class OutsideIssuer:
    """One issuer: *url* as it stands in its tokens, *claim* what names the person.  Safe for several threads."""

    url: str
    http: httpx.Client
    claim: Literal["email", "sub"] = "sub"
    jwks: str = ""
    monotonic: Callable[[], float] = time.monotonic
    _keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _fetched: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def vouch(self, token: str, at: datetime) -> Vouched:
        """Return who *token* stands for; raises `Unauthenticated`, or `Unavailable` when the keys cannot be had."""
        key = self._key(tokens.key_id_of(token))
        claims = tokens.read_foreign(token, key, issuer=self.url, audience=AUDIENCE, at=at)
        email, subject = claims.get("email"), str(claims["sub"])
        if self.claim == "sub":
            # RFC 3986 section 2.3 aside: what the certificate can carry is checked when it is made.
            return Vouched(Identity(subject, self.url), str(email) if email else subject)
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise Unauthenticated("the token names no email address that its issuer has verified")
        return Vouched(Identity(email, self.url), email)

    def _key(self, name: str) -> Mapping[str, Any]:
        with self._lock:
            now = self.monotonic()
            age = KEPT_S if self._fetched is None else now - self._fetched
            if age >= KEPT_S or (name not in self._keys and age >= AGAIN_S):
                self._keys = self._fetch()
                self._fetched = now
            found = self._keys.get(name)
        if found is None:
            raise Unauthenticated("the token is signed by a key that its issuer does not publish")
        return found

    def _fetch(self) -> Mapping[str, Mapping[str, Any]]:
        address = self.jwks or self._get(self.url.rstrip("/") + _DISCOVERY).get("jwks_uri")
        if not isinstance(address, str):
            raise Unavailable(f"the issuer {self.url} does not say where its keys are")
        keys = self._get(address).get("keys")
        return {str(one.get("kid", "")): one for one in (keys if isinstance(keys, list) else []) if _is_key(one)}

    def _get(self, address: str) -> Mapping[str, Any]:
        try:
            answer = self.http.get(address)
            found = strict_json(answer.raise_for_status().content[:_MOST], "the answer")
        except (httpx.HTTPError, httpx.InvalidURL, Malformed) as wrong:
            raise Unavailable(f"the keys of the issuer {self.url} cannot be had: {type(wrong).__name__}") from wrong
        if not isinstance(found, dict):
            raise Unavailable(f"the issuer {self.url} did not answer with an object")
        return found


def _is_key(value: object) -> bool:
    return isinstance(value, dict) and value.get("kty") != "oct"
