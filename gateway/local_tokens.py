# SPDX-License-Identifier: Apache-2.0
"""Tokens and sign-in links of local mode, issued beside the data folder: who can read its keys may do so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from gateway import supervisor
from gateway.instance import Instance
from gateway.sign_in import LocalTokens, roles_of
from khatim import settings
from khatim.errors import Misconfigured
from runners.agents import TokenIssuer


def access(  # noqa: PLR0913 - the claims of a person's token
    data: Path, name: str, roles: Sequence[str], *, at: datetime, ttl: timedelta, groups: Sequence[str] = ()
) -> str:
    """Return a bearer token for the person *name*."""
    instance, tokens = _open(data)
    return tokens.access(instance.person_ref(name), name, roles_of(roles), at=at, ttl=ttl, groups=groups)


def link(  # noqa: PLR0913 - the claims of a person's token
    data: Path, name: str, roles: Sequence[str], *, at: datetime, ttl: timedelta, groups: Sequence[str] = ()
) -> str:
    """Return a one-time sign-in link for the person *name*; the server must run."""
    instance, tokens = _open(data)
    url = supervisor.require_running(data)["url"]
    given = tokens.link(instance.person_ref(name), name, roles_of(roles), at=at, ttl=ttl, groups=groups)
    return f"{url}/sign-in?link={given}"


def sigstore(data: Path, name: str, *, at: datetime, ttl: timedelta) -> str:
    """Return a token with which Sigstore clients get a certificate for the person *name*, by opaque reference."""
    instance, signing = _open(data)
    return signing.sigstore(instance.person_ref(name), at=at, ttl=ttl)


def _open(data: Path) -> tuple[Instance, LocalTokens]:
    read = settings.load(data=data)
    if not read.is_local:
        raise Misconfigured("local tokens are refused: this installation signs people in with OIDC")
    if not (data / "keys").is_dir():
        raise Misconfigured(f"{data} is not an installation's folder", advice=f"khatim up --data {data}")
    instance = Instance(data)
    return instance, LocalTokens(TokenIssuer(instance.signing_key("tokens"), read.instance))
