# SPDX-License-Identifier: Apache-2.0
"""What an installation is told about its front door: who signs people in, and how browsers and programs reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

CALLBACK: Final = "/sign-in/callback"
_SECURE: Final = r"^(https://|http://(127\.0\.0\.1|localhost)[:/])[^\s*#?]+$"
"""An address over TLS, or on this machine: no wildcard, no query, no fragment."""


class OidcSettings(BaseModel):
    """Who signs people in (OpenID Connect Core 1.0).

    *audience* is what access tokens for the API are meant for; a token for another is never honoured.  *client_id* is
    the console's, with a secret in *client_secret_file* when the provider asks for one; *public_url* is where browsers
    reach the console, and the provider sends them back to its ``/sign-in/callback``.  Without a client only bearer
    tokens are taken.  *device_client_id* is the command line's (RFC 8628).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=_SECURE)
    audience: str = Field(min_length=1)
    client_id: str = ""
    client_secret_file: Path | None = None
    public_url: str = Field(default="", pattern=rf"({_SECURE})|^$")
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    device_client_id: str = ""
    audience_by: Literal["resource", "audience", ""] = "resource"  # RFC 8707; as Auth0 has it; by a scope
    device_scopes: tuple[str, ...] = ("openid", "profile", "email", "offline_access")

    @model_validator(mode="after")
    def _whole(self) -> OidcSettings:
        if bool(self.client_id) != bool(self.public_url):
            raise ValueError("oidc.client_id and oidc.public_url go together: the one is sent to, the other back to")
        if self.client_secret_file and not self.client_id:
            raise ValueError("oidc.client_secret_file is the secret of oidc.client_id, which is missing")
        if self.audience in {self.client_id, self.device_client_id}:
            raise ValueError("oidc.audience must not be a client: a token that says who signed in would open the API")
        if "openid" not in self.scopes:
            raise ValueError("oidc.scopes must have openid: without it nobody says who signed in")
        if self.public_url and urlsplit(self.public_url).path not in {"", "/"}:
            raise ValueError("oidc.public_url has no path: the console is reached at its root")
        return self

    @property
    def redirect_uri(self) -> str:
        """Return the one address to which the provider may send a browser back."""
        return self.public_url.rstrip("/") + CALLBACK


class TlsSettings(BaseModel):
    """The certificate chain and the key (PEM files) with which the server itself speaks TLS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path
    key: Path
