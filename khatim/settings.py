# SPDX-License-Identifier: Apache-2.0
"""What an installation is told: read once at the top (prefix ``KHATIM_``, nested by ``__``), handed down as objects.

Nothing secret and nothing that decides security has a default: an OIDC issuer without an audience refuses to start.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from khatim.errors import Misconfigured
from khatim.sign_in_settings import OidcSettings, TlsSettings
from khatim.signing_settings import SigningSettings


class DatabaseSettings(BaseModel):
    """Where PostgreSQL is.  Without URLs the embedded one is used, in the data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    owner_url: str | None = None
    sequencer_url: str | None = None

    @model_validator(mode="after")
    def _all_or_none(self) -> DatabaseSettings:
        given = [self.url, self.owner_url, self.sequencer_url]
        if any(given) and not all(given):
            raise ValueError("give url, owner_url and sequencer_url (three roles), or none of them")
        return self


class DiskSettings(BaseModel):
    """When a disk counts as full.  *volume* is one more to look at; *query* asks a database elsewhere for its share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alarm: float = Field(default=0.90, gt=0, le=1)
    refuse: float = Field(default=0.95, gt=0, le=1)
    ballast_mb: int = Field(default=64, ge=0, le=100_000)
    volume: Path | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _alarm_first(self) -> DiskSettings:
        if self.alarm > self.refuse:
            raise ValueError("disk.alarm must not be over disk.refuse: nobody would be warned")
        return self


class FloodSettings(BaseModel):
    """How many refusals are told one by one: *recorded* of one actor a minute, and how many sources are told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recorded: int = Field(default=60, ge=1, le=100_000)
    sources: int = Field(default=4096, ge=1, le=1_000_000)
    entries: int = Field(default=100, ge=1, le=10_000)


class ClockSettings(BaseModel):
    """How far the clock of what signs may be off (seconds), and a time server to compare it with (host, or host:port).

    With *required* a source that does not answer is a reason to sign nothing; without, it is reported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance_s: float = Field(default=2.0, gt=0, le=300)
    ntp: str | None = Field(default=None, min_length=1)
    required: bool = False


class WitnessSettings(BaseModel):
    """A witness of the ledger's checkpoints: its verifier key, and the prefix where it takes them (if we ask it)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vkey: str = Field(min_length=1)
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")


class WormSettings(BaseModel):
    """Where copies of checkpoints go that nobody can overwrite: a *folder*, or a bucket with object lock (S3 API).

    *url* is ``https://host/bucket/prefix``; the secret key stands in a file, as a systemd credential does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    region: str = ""
    access_key: str | None = None
    secret_file: Path | None = None
    retain_days: int | None = Field(default=None, ge=1, le=36_500)

    @model_validator(mode="after")
    def _a_bucket_needs_everything(self) -> WormSettings:
        if self.url and not (self.access_key and self.secret_file and self.retain_days):
            raise ValueError("a bucket needs ledger.worm.access_key, secret_file and retain_days: nothing is assumed")
        return self


class LedgerSettings(BaseModel):
    """To whom the ledger's checkpoints go every *publish_s* seconds, and how many witnesses make one count.

    *timestamp_url* is a timestamp authority outside (RFC 3161 over HTTP), beside the installation's own;
    *timestamp_root* its certificates (PEM, its own first, its root last), without which any answer is kept.  With
    *public*, checkpoints, tiles and entries are read without signing in.  With *witnesses_first* nothing is signed at
    a start while a witness does not answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    publish_s: float = Field(default=5.0, gt=0, le=3600)
    witnesses: tuple[WitnessSettings, ...] = ()
    quorum: int = Field(default=0, ge=0, le=100)
    witnesses_first: bool = False
    timestamp_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    timestamp_root: Path | None = None
    worm: WormSettings = WormSettings()
    public: bool = False


class AuthoritySettings(BaseModel):
    """Where the signing authority's keys lie, and what unlocks them (docs/guides/authority.md).

    ``folder``: plain files, local mode only.  ``sealed``: encrypted files in *keys*, unlocked by one of
    *passphrase_file*, *secret* (a path, or the name of a systemd credential) and *kms* (with *kms_token_file*).
    ``pkcs11``: on the *token* of a *module*, with the PIN in *pin_file*.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Literal["folder", "sealed", "pkcs11"] = "folder"
    keys: Path | None = None
    passphrase_file: Path | None = None
    secret: str | None = Field(default=None, min_length=1)
    kms: str | None = Field(default=None, pattern=r"^vault-transit://[^/]+/[^/]+$")
    kms_token_file: Path | None = None
    module: Path | None = None
    token: str | None = Field(default=None, min_length=1)
    pin_file: Path | None = None
    process: bool | None = None  # keys in a process of their own; None: in production, not in local mode
    socket: Path | None = None  # where the signer listens; by default in the data folder
    accounts: tuple[int, ...] = ()  # the uids that may ask it; by default its own
    token_key: Path | None = None  # the public key of the instance's tokens, for a signer under another account

    @model_validator(mode="after")
    def _what_the_store_needs(self) -> AuthoritySettings:
        unlocks = [one for one in (self.passphrase_file, self.secret, self.kms) if one]
        if self.store == "sealed" and len(unlocks) != 1:
            raise ValueError("sealed keys are unlocked by exactly one of passphrase_file, secret and kms")
        if self.store != "sealed" and unlocks:
            raise ValueError(f"passphrase_file, secret and kms belong to sealed keys, not to the store {self.store!r}")
        if bool(self.kms) != bool(self.kms_token_file):
            raise ValueError("kms and kms_token_file go together")
        if (self.store == "pkcs11") != all((self.module, self.token, self.pin_file)):
            raise ValueError("module, token and pin_file go with the store 'pkcs11', all three")
        return self


class Settings(BaseSettings):
    """The settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="KHATIM_", env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    data: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8470, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    entity: str = Field(default="local", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    instance: str = Field(default="local", pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
    policies: Path | None = None
    zone: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9.-]{0,62})?$")  # where the control plane itself stands
    database: DatabaseSettings = DatabaseSettings()
    oidc: OidcSettings | None = None
    tls: TlsSettings | None = None
    proxy: str = Field(default="", pattern=r"^[0-9a-fA-F.:/, ]*$")  # addresses of what speaks TLS in front of this
    disk: DiskSettings = DiskSettings()
    floods: FloodSettings = FloodSettings()
    ledger: LedgerSettings = LedgerSettings()
    clock: ClockSettings = ClockSettings()
    authority: AuthoritySettings = AuthoritySettings()
    signing: SigningSettings = SigningSettings()
    tombstones: Path | None = None  # a second file of erasures, where no restore of this machine reaches it
    max_body: int = Field(default=2_000_000, ge=10_000)

    @property
    def is_local(self) -> bool:
        """Whether this is local mode: no identity provider, loopback only, one-time sign-in links."""
        return self.oidc is None

    @model_validator(mode="after")
    def _local_mode_stays_local(self) -> Settings:
        if is_loopback(self.host):
            return self
        if self.is_local:
            raise ValueError(
                f"without an OIDC provider Khatim listens on loopback only, not on {self.host}; "
                "set KHATIM_OIDC__ISSUER and KHATIM_OIDC__AUDIENCE"
            )
        if self.tls is None and not self.proxy.strip():
            raise ValueError(
                f"tokens would cross the network in the clear on {self.host}; set KHATIM_TLS__CERTIFICATE and "
                "KHATIM_TLS__KEY, or KHATIM_PROXY with the addresses of the proxy that speaks TLS"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(**given: object) -> Settings:
    """Read the settings; *given* ones win over the environment.  Raises `Misconfigured` with every complaint."""
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]  # pydantic parses
    except ValidationError as error:
        complaints = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise Misconfigured(complaints, advice="See docs/guides/configuration.md.") from error
