# SPDX-License-Identifier: Apache-2.0
"""Where the command line keeps what a sign-in is worth: one file that only its owner can read, by registry."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from khatim import device_flow
from khatim.device_flow import Granted
from khatim.errors import Misconfigured, Unauthenticated

EARLY: Final = timedelta(seconds=60)
"""How long before its end a token is renewed: it must outlive the call that it goes with."""


def path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file: in the user's folder for configuration (XDG Base Directory)."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "khatim" / "credentials.json"


def keep(file: Path, server: str, granted: Granted) -> None:
    """Keep what signs in to *server*."""
    known = _read(file)
    known[_key(server)] = {**asdict(granted), "expires_at": granted.expires_at.isoformat()}
    _write(file, known)


def forget(file: Path, server: str) -> bool:
    """Forget what signs in to *server*; False when nothing did."""
    known = _read(file)
    if known.pop(_key(server), None) is None:
        return False
    _write(file, known)
    return True


def token_for(file: Path, server: str, *, http: httpx.Client | None = None, now: datetime | None = None) -> str:
    """Return a token for *server*, renewed when it is about to end; empty when nobody signed in to it.

    Raises `Unauthenticated` when the sign-in has ended.
    """
    kept = _read(file).get(_key(server))
    if kept is None:
        return ""
    at = now or datetime.now(UTC)
    try:
        granted = Granted(**{**kept, "expires_at": datetime.fromisoformat(kept["expires_at"])})
    except (TypeError, KeyError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be understood", advice="Delete it, then khatim login.") from error
    if at < granted.expires_at - EARLY:
        return granted.access_token
    if not granted.refresh_token:
        if at < granted.expires_at:
            return granted.access_token
        raise Unauthenticated("your sign-in has ended", advice="khatim login")
    with http or httpx.Client(timeout=10) as opened:
        renewed = device_flow.renew(opened, granted, at)
    keep(file, server, renewed)
    return renewed.access_token


def _key(server: str) -> str:
    return server.rstrip("/").lower()


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read", advice="Delete it, then khatim login.") from error
    return found if isinstance(found, dict) else {}


def _write(file: Path, known: Mapping[str, Any]) -> None:
    """Write so that the file appears whole, and never readable by others, not even for a moment."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(known, opened, indent=1)
    draft.replace(file)
