# SPDX-License-Identifier: Apache-2.0
"""Signing in without a browser (RFC 8628): a code is shown, its owner enters it elsewhere, a token comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from khatim.errors import Misconfigured, Unauthenticated, Unavailable
from khatim.wire.sign_in import SignIn

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_DISCOVERY: Final = "/.well-known/openid-configuration"
_INTERVAL_S: Final = 5.0  # RFC 8628 section 3.2: when the provider does not say
_SLOWER_S: Final = 5.0  # section 3.5, slow_down
_LIFE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Code:
    """What its owner enters, where, and how often to ask whether they did."""

    user_code: str
    address: str
    complete_address: str
    device_code: str
    interval_s: float
    until: datetime
    token_endpoint: str


@dataclass(frozen=True, slots=True)
class Granted:
    """What a sign-in is worth: an access token until a moment, and what gets the next one, if anything does."""

    access_token: str
    refresh_token: str
    expires_at: datetime
    token_endpoint: str
    client_id: str


def begin(http: httpx.Client, how: SignIn, now: datetime) -> Code:
    """Ask the provider for a code; raises `Misconfigured` where the command line cannot sign in, `Unavailable`."""
    if how.mode != "oidc" or not how.client_id:
        raise Misconfigured(
            "this registry has no sign-in for the command line",
            advice="In local mode: khatim token issue. Else ask for KHATIM_OIDC__DEVICE_CLIENT_ID to be set.",
        )
    metadata = _asked(http, "GET", how.issuer.rstrip("/") + _DISCOVERY)
    if metadata.get("issuer") != how.issuer:
        raise Unavailable(f"the metadata at {how.issuer} is that of another issuer")
    address = metadata.get("device_authorization_endpoint")
    if not isinstance(address, str):
        raise Misconfigured(f"{how.issuer} signs in no devices (RFC 8628)")
    form = {"client_id": how.client_id, "scope": " ".join(how.scopes)}
    told = _asked(http, "POST", address, form | ({how.audience_by: how.audience} if how.audience_by else {}))
    try:
        return Code(
            user_code=str(told["user_code"]),
            address=str(told["verification_uri"]),
            complete_address=str(told.get("verification_uri_complete", told["verification_uri"])),
            device_code=str(told["device_code"]),
            interval_s=float(told.get("interval", _INTERVAL_S)),
            until=now + timedelta(seconds=float(told["expires_in"])),
            token_endpoint=str(metadata["token_endpoint"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"{how.issuer} did not answer as RFC 8628 says: {error}") from error


def wait(
    http: httpx.Client,
    how: SignIn,
    code: Code,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Granted:
    """Wait until the code's owner has decided; raises `Unauthenticated` when they refused, or took too long."""
    pause = code.interval_s
    form = {"client_id": how.client_id, "grant_type": GRANT, "device_code": code.device_code}
    if how.audience_by:
        form[how.audience_by] = how.audience
    while clock() < code.until:
        sleep(pause)
        answer = _sent(http, "POST", code.token_endpoint, form)
        if answer.is_success:
            return _granted(_read(answer), code.token_endpoint, how.client_id, clock())
        match _error(answer):
            case "authorization_pending":
                continue
            case "slow_down":
                pause += _SLOWER_S
            case refused:
                raise Unauthenticated(f"the identity provider did not sign you in: {refused}")
    raise Unauthenticated("nobody entered the code in time", advice="khatim login, once more.")


def renew(http: httpx.Client, old: Granted, now: datetime) -> Granted:
    """Return what the refresh token of *old* gets; raises `Unauthenticated` when it gets nothing any more."""
    form = {"client_id": old.client_id, "grant_type": "refresh_token", "refresh_token": old.refresh_token}
    answer = _sent(http, "POST", old.token_endpoint, form)
    if not answer.is_success:
        raise Unauthenticated(f"your sign-in has ended: {_error(answer)}", advice="khatim login")
    told = _read(answer)
    # RFC 6749 section 6: a provider that does not rotate gives no new one, and the old one goes on.
    return _granted({"refresh_token": old.refresh_token, **told}, old.token_endpoint, old.client_id, now)


def _granted(told: Mapping[str, Any], endpoint: str, client: str, now: datetime) -> Granted:
    token = told.get("access_token")
    if not isinstance(token, str) or not token:
        raise Unavailable("the identity provider granted no access token")
    life = timedelta(seconds=float(told["expires_in"])) if "expires_in" in told else _LIFE
    return Granted(token, str(told.get("refresh_token", "")), now + life, endpoint, client)


def _asked(http: httpx.Client, method: str, address: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    answer = _sent(http, method, address, form)
    if not answer.is_success:
        raise Unavailable(f"{address} answers with {answer.status_code}: {_error(answer)}")
    return _read(answer)


def _sent(http: httpx.Client, method: str, address: str, form: Mapping[str, str] | None = None) -> httpx.Response:
    url = httpx.URL(address)
    if url.scheme != "https" and url.host not in {"127.0.0.1", "localhost", "::1"}:
        raise Misconfigured(f"{address} is no address over TLS; no code and no token goes there")
    try:
        return http.request(method, url, data=form)
    except httpx.HTTPError as error:
        raise Unavailable(f"{address} does not answer: {type(error).__name__}") from error


def _read(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError as error:
        raise Unavailable(f"{answer.request.url} did not answer with JSON") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{answer.request.url} did not answer with an object")
    return found


def _error(answer: httpx.Response) -> str:
    try:
        found = answer.json()
    except ValueError:
        return str(answer.status_code)
    return str(found.get("error", answer.status_code))[:80] if isinstance(found, dict) else str(answer.status_code)
