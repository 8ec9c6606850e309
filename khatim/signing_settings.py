# SPDX-License-Identifier: Apache-2.0
"""What an installation is told about signing: with which backend, and which outside issuers' tokens count."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SigningIssuer(BaseModel):
    """An outside issuer of tokens (OpenID Connect) for certificates: its *url*, and the *claim* that names somebody.

    *jwks* is where its keys are, when its discovery document is not to be asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^(https://|http://127\.0\.0\.1[:/])\S+$")
    claim: Literal["email", "sub"] = "sub"
    jwks: str = Field(default="", pattern=r"^((https://|http://127\.0\.0\.1[:/])\S+)?$")


class SigningSettings(BaseModel):
    """What signs the registry's own statements (docs/guides/signing.md), and whose tokens earn a certificate.

    ``embedded``: the instance's own authority.  ``private-sigstore``: that of *trust_config* (ClientTrustConfig JSON),
    with tokens from *token_file* or from what *token_command* prints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["embedded", "private-sigstore"] = "embedded"
    trust_config: Path | None = None
    token_file: Path | None = None
    token_command: tuple[str, ...] = ()
    issuers: tuple[SigningIssuer, ...] = ()

    @model_validator(mode="after")
    def _what_the_backend_needs(self) -> SigningSettings:
        sources = [one for one in (self.token_file, self.token_command) if one]
        if self.backend == "private-sigstore" and not (self.trust_config and len(sources) == 1):
            raise ValueError("private-sigstore needs trust_config, and one of token_file and token_command")
        return self
