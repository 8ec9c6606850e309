# SPDX-License-Identifier: Apache-2.0
"""The door to the identity provider: OpenID Connect Core 1.0 with PKCE (RFC 7636).  The only importer of Authlib.

Authlib speaks the protocol; every token is read by `khatim.tokens`, where the key decides the algorithm.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import (
    parse_authorization_code_response,
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from khatim import tokens
from khatim.errors import Malformed, Misconfigured, Unauthenticated, Unavailable
from khatim.sign_in_settings import OidcSettings
from registry.signing.encoding import strict_json
from registry.signing.published_keys import PublishedKeys

TIMEOUT_S: Final = 5.0
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_LIFE: Final = timedelta(minutes=2)
_METHODS: Final = ("client_secret_basic", "client_secret_post")
_ADVICE: Final = "Sign in again; if it happens once more, tell your platform engineer."


@dataclass(frozen=True, slots=True)
class Begun:
    """One sign-in under way: where the browser goes, and what must come back with it."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Logout:
    """What the provider says has ended: one of its sessions, or everything of one person (an opaque reference)."""

    person: str
    session: str
    token: str


@dataclass(frozen=True)
class Provider:
    """One identity provider; *secret* keys the opaque references of its people."""

    settings: OidcSettings
    keys: PublishedKeys
    http: httpx.Client
    secret: bytes

    @classmethod
    def of(cls, settings: OidcSettings, secret: bytes) -> Provider:
        """Return the provider of *settings*; nothing is asked of it yet."""
        # Asked now and then: a connection that is kept would be dead by the next time.
        http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, limits=httpx.Limits(max_keepalive_connections=0))
        return cls(settings, PublishedKeys(settings.issuer, http), http, secret)

    def person(self, subject: str) -> str:
        """Return the opaque, stable reference of the provider's *subject* (compliance.md section 4: keyed)."""
        named = json.dumps([self.settings.issuer, subject]).encode()
        return "p-" + hmac.new(self.secret, named, sha256).hexdigest()[:20]

    def access(self, token: str, at: datetime) -> Mapping[str, Any]:
        """Return the claims of an access token for the API (RFC 9068); raises `Unauthenticated`."""
        return tokens.read_foreign(
            token, self.keys.of(token), issuer=self.settings.issuer, audience=self.settings.audience, at=at
        )

    # -- the console: authorization code with PKCE --

    def begin(self) -> Begun:
        """Return where to send a browser that signs in; raises `Unavailable`."""
        verifier, state, nonce = generate_token(64), generate_token(48), generate_token(48)
        url = prepare_grant_uri(
            self._endpoint("authorization_endpoint"),
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.settings.redirect_uri,
            scope=" ".join(self.settings.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Begun(url, state, nonce, verifier)

    def finish(self, answer: str, begun: Mapping[str, str], at: datetime) -> tuple[Mapping[str, Any], str]:
        """Return the claims of the ID token that *answer*, the address the browser came back to, leads to, and it.

        *begun* are state, nonce and verifier.  Raises `Unauthenticated` when anything does not fit.
        """
        try:
            code = parse_authorization_code_response(answer, state=begun["state"])
        except AuthlibBaseError as refused:
            why = parse_qs(urlsplit(answer).query).get("error", [refused.error])[0][:60]
            raise Unauthenticated(f"the identity provider did not sign you in: {why}", advice=_ADVICE) from refused
        if "iss" in code and code["iss"] != self.settings.issuer:  # RFC 9207 section 2.4: not a mix-up
            raise Unauthenticated("the answer is that of another identity provider", advice=_ADVICE)
        granted = self._granted(str(code["code"]), begun["verifier"])
        token = granted.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("the identity provider does not say who signed in", advice=_ADVICE)
        claims = self._about_a_person(token, at)
        # OpenID Connect Core 3.1.3.7, 11: else a token of another sign-in could be put in.
        if not hmac.compare_digest(str(claims.get("nonce", "")), begun["nonce"]):
            raise Unauthenticated("the identity provider's answer belongs to another sign-in", advice=_ADVICE)
        return claims, token

    def logout(self, token: str, at: datetime) -> Logout:
        """Return what a logout token ends (OpenID Connect Back-Channel Logout 1.0, 2.6); raises `Malformed`."""
        try:
            claims = self._about_a_person(token, at, may_lack_subject=True)
        except Unauthenticated as wrong:
            raise Malformed(f"the logout token is not valid: {wrong.detail}") from wrong
        events = claims.get("events")
        session, subject = str(claims.get("sid", "")), str(claims.get("sub", ""))
        if not isinstance(events, Mapping) or LOGOUT_EVENT not in events or "nonce" in claims:
            raise Malformed("this is no logout token")
        if not claims.get("jti") or not (session or subject):
            raise Malformed("the logout token does not say what has ended")
        return Logout(self.person(subject) if subject else "", session, str(claims["jti"]))

    def end_session(self) -> str:
        """Return where a browser signs out of the provider too; empty when there is no such place."""
        try:
            address = str(self.keys.metadata().get("end_session_endpoint", ""))
        except Unavailable:
            return ""
        back = {"client_id": self.settings.client_id, "post_logout_redirect_uri": self.settings.public_url}
        return f"{address}?{urlencode(back)}" if address else ""

    def _about_a_person(self, token: str, at: datetime, *, may_lack_subject: bool = False) -> Mapping[str, Any]:
        claims = tokens.read_foreign(
            token, self.keys.of(token), issuer=self.settings.issuer, audience=self.settings.client_id, at=at,
            needs_subject=not may_lack_subject,
        )  # fmt: skip
        # 3.1.3.7, 4 and 5: for several audiences somebody must say which client asked.
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", self.settings.client_id) != self.settings.client_id or (several and "azp" not in claims):
            raise Unauthenticated("the token was made for another client")
        return claims

    def _granted(self, code: str, verifier: str) -> Mapping[str, Any]:
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=self.settings.redirect_uri, code_verifier=verifier
        )
        method, who = self._method(), (self.settings.client_id, self._client_secret())
        # RFC 6749 section 2.3.1: form-encoded before they become user and password, which Authlib leaves to us.
        auth = ClientAuth(*(map(quote_plus, who) if method == "client_secret_basic" else who), method)
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = auth.prepare("POST", self._endpoint("token_endpoint"), headers, body)
        try:
            answer = self.http.post(address, headers=headers, content=body)
            found = strict_json(answer.content, "the answer")
        except (httpx.HTTPError, Malformed) as away:
            raise Unavailable(f"the identity provider does not answer: {type(away).__name__}") from away
        if not isinstance(found, dict) or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the identity provider answers with {answer.status_code}")
        if not answer.is_success:
            why = str(found.get("error", answer.status_code))[:60]
            raise Unauthenticated(f"the identity provider did not sign you in: {why}", advice=_ADVICE)
        return found

    def _client_secret(self) -> str:
        path = self.settings.client_secret_file
        if path is None:
            return ""
        try:
            return path.read_text().strip()  # read anew each time: it may be rotated without a restart
        except OSError as error:
            raise Misconfigured(f"the client's secret cannot be read from {path}: {error.strerror}") from error

    def _method(self) -> str:
        if self.settings.client_secret_file is None:
            return "none"
        offered = self.keys.metadata().get("token_endpoint_auth_methods_supported", _METHODS)
        return next((one for one in _METHODS if one in offered), _METHODS[0])

    def _endpoint(self, name: str) -> str:
        address = str(self.keys.metadata().get(name, ""))
        if urlsplit(address).scheme != urlsplit(self.settings.issuer).scheme:
            raise Unavailable(f"the identity provider names no {name} that is as safe as itself")
        return address
