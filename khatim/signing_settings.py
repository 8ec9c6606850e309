# SPDX-License-Identifier: Apache-2.0
"""What an installation is told about signing: with what the registry signs, who dates it, and whose tokens count."""

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


class OutsideTsa(BaseModel):
    """A timestamp authority that the operator does not run (RFC 3161 over HTTP): its *url* and certificates.

    *chain* is a PEM file, the authority's own certificate first and its root last.  With *required* nothing is signed
    while it is away; without, it is signed and said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://\S+$")
    chain: Path
    required: bool = True


class SigningSettings(BaseModel):
    """With what the registry signs, who else dates it, and whose tokens earn certificates (docs/guides/signing.md).

    ``embedded``: a fresh key for each signature, certified by the instance's own authority.  ``private-sigstore``: the
    instance of *trust_config* certifies *identity* on the word of *issuer*, for a token from *token_file* or
    *token_command*.  ``pkcs11``: the key named *key* on the *token* of a *module*, certified by the own authority.
    ``key-only``: the bare key in *key_file* (PEM), which nobody certifies: degraded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuers: tuple[SigningIssuer, ...] = ()
    backend: Literal["embedded", "private-sigstore", "pkcs11", "key-only"] = "embedded"
    trust_config: Path | None = None
    identity: str | None = Field(default=None, min_length=1)
    issuer: str | None = Field(default=None, pattern=r"^https?://\S+$")
    token_file: Path | None = None
    token_command: tuple[str, ...] = ()
    module: Path | None = None
    token: str | None = Field(default=None, min_length=1)
    pin_file: Path | None = None
    key: str = Field(default="statements", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    key_file: Path | None = None
    outside_tsa: OutsideTsa | None = None

    @model_validator(mode="after")
    def _what_the_backend_needs(self) -> SigningSettings:
        needs: dict[str, dict[str, object]] = {
            "private-sigstore": {
                "trust_config": self.trust_config, "identity": self.identity, "issuer": self.issuer,
                "token_file or token_command": self.token_file or self.token_command,
            },
            "pkcs11": {"module": self.module, "token": self.token, "pin_file": self.pin_file},
            "key-only": {"key_file": self.key_file},
        }  # fmt: skip
        missing = [name for name, value in needs.get(self.backend, {}).items() if not value]
        if missing:
            raise ValueError(f"the backend {self.backend!r} needs signing.{', signing.'.join(missing)}")
        strange = [
            f"{name} (for {backend!r})"
            for backend, names in needs.items()
            for name, value in names.items()
            if backend != self.backend and value
        ]
        if strange:
            raise ValueError(f"the backend {self.backend!r} has no use for signing.{', signing.'.join(strange)}")
        if self.token_file and self.token_command:
            raise ValueError("give token_file or token_command, not both")
        if self.outside_tsa and self.backend == "private-sigstore":
            raise ValueError("a private Sigstore brings its own timestamp authority; outside_tsa goes with the others")
        return self
