# SPDX-License-Identifier: Apache-2.0
"""What an installation is told: read once at the top (prefix ``KHATIM_``, nested by ``__``), handed down as objects.

Nothing secret and nothing that decides security has a default: an OIDC issuer without an audience refuses to start.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from khatim.errors import Misconfigured


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


class OidcSettings(BaseModel):
    """Who signs people in.  Both are needed: a token for another audience must never be honoured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https://")
    audience: str = Field(min_length=1)


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
    disk: DiskSettings = DiskSettings()
    floods: FloodSettings = FloodSettings()
    tombstones: Path | None = None  # a second file of erasures, where no restore of this machine reaches it
    max_body: int = Field(default=2_000_000, ge=10_000)

    @property
    def is_local(self) -> bool:
        """Whether this is local mode: no identity provider, loopback only, one-time sign-in links."""
        return self.oidc is None

    @model_validator(mode="after")
    def _local_mode_stays_local(self) -> Settings:
        if self.is_local and not is_loopback(self.host):
            raise ValueError(
                f"without an OIDC provider Khatim listens on loopback only, not on {self.host}; "
                "set KHATIM_OIDC__ISSUER and KHATIM_OIDC__AUDIENCE"
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
