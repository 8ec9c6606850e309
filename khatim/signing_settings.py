# SPDX-License-Identifier: Apache-2.0
"""What an installation is told about signing: which outside issuers' tokens count."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SigningIssuer(BaseModel):
    """An outside issuer of tokens (OpenID Connect) for certificates: its *url*, and the *claim* that names somebody.

    *jwks* is where its keys are, when its discovery document is not to be asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^(https://|http://127\.0\.0\.1[:/])\S+$")
    claim: Literal["email", "sub"] = "sub"
    jwks: str = Field(default="", pattern=r"^((https://|http://127\.0\.0\.1[:/])\S+)?$")


class SigningSettings(BaseModel):
    """Whose tokens earn a certificate of the instance's authority, beside its own (docs/guides/signing.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuers: tuple[SigningIssuer, ...] = ()
