# SPDX-License-Identifier: Apache-2.0
"""``khatim doctor``: everything that an installation needs, looked at from beside it, with what to do where it is not.

It changes nothing and asks nobody's permission: whoever can read the data folder and its settings may look.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from audit import direct
from audit.reserve import Pressure
from gateway import composition, custody, schema, signing, supervisor
from gateway.disks import reserve_of
from gateway.instance import Instance
from gateway.oidc import Provider
from khatim.errors import KhatimError, Misconfigured, Unavailable
from khatim.settings import Settings, is_loopback

POSTGRES: Final = 150_000
"""The oldest PostgreSQL that Khatim runs on, as libpq numbers it."""
_SOON: Final = timedelta(days=30)
_SILENT: Final = timedelta(minutes=5)
_WAITING: Final = 10_000  # events without a place in the ledger: the sequencer does that many in a second
_TIMEOUT_S: Final = 5.0


class Health(StrEnum):
    """How one thing is."""

    WELL = "well"
    ATTENTION = "attention"
    ILL = "ill"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    health: Health
    says: str
    advice: str = ""


Look = Callable[[Settings, datetime], Iterator[Check]]


def examine(settings: Settings, now: datetime) -> list[Check]:
    """Look at everything; what cannot be looked at is ill, and keeps nothing else from being looked at."""
    found: list[Check] = []
    for name, look in LOOKS.items():
        try:
            found += look(settings, now)
        except KhatimError as error:
            found.append(Check(name, Health.ILL, error.detail, error.advice))
        except (OSError, ValueError, psycopg.Error, httpx.HTTPError) as error:
            found.append(Check(name, Health.ILL, f"{type(error).__name__}: {str(error)[:300]}"))
    return found


def _server(settings: Settings, _: datetime) -> Iterator[Check]:
    state = supervisor.state_of(settings.data)
    if state is None:
        yield Check("server", Health.ATTENTION, "nothing runs on this folder", f"khatim up --data {settings.data}")
        return
    # Whose certificate it is, is another check's question; here the machine talks with itself.
    told = httpx.get(f"{state['url']}/health", timeout=_TIMEOUT_S, verify=settings.tls is None).json()
    is_well = told.get("status") == "ok"
    yield Check(
        "server", Health.WELL if is_well else Health.ILL, f"{state['url']}: {told.get('status', 'no answer')}",
        "" if is_well else "The ledger stands still: khatim recover status says why.",
    )  # fmt: skip
    if told.get("signing") == "degraded":
        yield Check(
            "signing", Health.ATTENTION, "approvals are signed with a bare key", "docs/guides/signing.md: Backends"
        )


def _folders(settings: Settings, _: datetime) -> Iterator[Check]:
    open_ = [path for path in (settings.data / "keys", settings.data / "authority") if _is_open(path)]
    if open_:
        names = ", ".join(map(str, open_))
        yield Check("folders", Health.ILL, f"others can read {names}", f"chmod -R go= {' '.join(map(str, open_))}")
    else:
        yield Check("folders", Health.WELL, "keys are for their owner only")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _disk(settings: Settings, _: datetime) -> Iterator[Check]:
    standing = reserve_of(settings).look()
    health = {Pressure.ROOM: Health.WELL, Pressure.ALARM: Health.ATTENTION}.get(standing.pressure, Health.ILL)
    advice = "" if health is Health.WELL else "Free room or make the volume larger; writing goes on by itself."
    yield Check("disk", health, f"the fullest is {standing.used:.0%} full", advice)


def _clock(settings: Settings, _: datetime) -> Iterator[Check]:
    if settings.clock.ntp is None:
        yield Check(
            "clock", Health.ATTENTION, "nobody outside is asked for the time", "Set KHATIM_CLOCK__NTP to a time server."
        )
    is_still = settings.database.url is None and supervisor.state_of(settings.data) is None
    for source in signing.sources_of(settings, lambda: datetime.now(UTC)):
        if source.name == "database" and is_still:
            continue  # another check says that it stands still
        try:
            off = source.offset_s()
        except Unavailable as silent:
            yield Check("clock", Health.ATTENTION, f"{source.name} does not answer: {silent.detail}")
            continue
        is_well = abs(off) <= settings.clock.tolerance_s
        yield Check(
            "clock", Health.WELL if is_well else Health.ILL, f"{off:+.3f} s from {source.name}",
            "" if is_well else "Nothing is signed until it is right again: look at chrony or systemd-timesyncd.",
        )  # fmt: skip


def _tls(settings: Settings, now: datetime) -> Iterator[Check]:
    if settings.tls is None:
        where = "on this machine only" if is_loopback(settings.host) else f"behind {settings.proxy}"
        yield Check("tls", Health.WELL, f"the server listens {where}")
        return
    certificate = x509.load_pem_x509_certificates(settings.tls.certificate.read_bytes())[0]
    key = load_pem_private_key(settings.tls.key.read_bytes(), password=None)
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise Misconfigured(
            "the key is not that of the certificate", advice="KHATIM_TLS__KEY goes with KHATIM_TLS__CERTIFICATE."
        )
    left = certificate.not_valid_after_utc - now
    health = Health.ILL if left <= timedelta(0) else Health.ATTENTION if left < _SOON else Health.WELL
    advice = "" if health is Health.WELL else "Renew it, and start the server anew."
    yield Check("tls", health, f"the certificate ends {certificate.not_valid_after_utc:%Y-%m-%d}", advice)


def _database(settings: Settings, _: datetime) -> Iterator[Check]:
    if settings.database.url is None and supervisor.state_of(settings.data) is None:
        yield Check("database", Health.ATTENTION, "the embedded database stands still with the server")
        return
    urls = composition.urls_of(settings)
    with psycopg.connect(urls.service, connect_timeout=int(_TIMEOUT_S)) as connection:
        version = connection.info.server_version
        [[is_mighty]] = connection.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        [[waiting]] = connection.execute(
            "SELECT count(*) FROM (SELECT FROM ledger_outbox LIMIT %s) one", [_WAITING + 1]
        )
    if version < POSTGRES:
        yield Check("database", Health.ILL, f"PostgreSQL {version // 10_000} is too old", "Use PostgreSQL 15 or newer.")
    elif is_mighty:
        advice = "Make khatim_service an ordinary role: neither SUPERUSER nor BYPASSRLS."
        yield Check("database", Health.ILL, "the service's role is bound by nothing", advice)
    else:
        yield Check("database", Health.WELL, f"PostgreSQL {version // 10_000}, and the service's role is bound")
    with direct.translated():
        direct.connect(urls.sequencer).close()  # raises behind a proxy that pools transactions
    yield Check("pooling", Health.WELL, "the sequencer reaches the database itself")
    is_late = waiting > _WAITING
    yield Check(
        "ledger", Health.ILL if is_late else Health.WELL,
        f"{'more than ' if is_late else ''}{min(waiting, _WAITING)} events wait for their place",
        "Look at the sequencer's words in run/server.log." if is_late else "",
    )  # fmt: skip
    missing = schema.behind(urls.owner)
    yield Check(
        "schema", Health.ILL if missing else Health.WELL, missing or "as this version wants it",
        "khatim up migrates it at the start." if missing else "",
    )  # fmt: skip
    yield from _agents(urls.owner)


def _agents(url: str) -> Iterator[Check]:
    query = (
        "SELECT zone, count(*), count(*) FILTER (WHERE seen_at IS NULL OR seen_at < now() - %s) FROM agents "
        "LEFT JOIN presence ON agent = 'agent:' || agents.id WHERE state = 'active' GROUP BY zone ORDER BY zone"
    )
    with psycopg.connect(url, connect_timeout=int(_TIMEOUT_S)) as connection:
        rows = connection.execute(query, [_SILENT]).fetchall()
    if not rows:
        yield Check("agents", Health.ATTENTION, "no zone has an agent", "khatim agent invite ZONE")
    for zone, number, silent in rows:
        health = Health.WELL if not silent else Health.ILL if silent == number else Health.ATTENTION
        words = f"{zone}: {number} enrolled, {silent} not heard of for {_SILENT.seconds // 60} minutes"
        advice = "" if not silent else "Start it again, or: khatim agent retire."
        yield Check("agents", health, words, advice)


def _witnesses(settings: Settings, _: datetime) -> Iterator[Check]:
    number = len(settings.ledger.witnesses)
    yield Check(
        "witnesses", Health.WELL if number else Health.ATTENTION,
        f"{number} outside remember how far the ledger grew" if number else "nobody outside remembers the ledger",
        "" if number else "docs/guides/witness.md; until then keep a checkpoint elsewhere yourself.",
    )  # fmt: skip
    worm = settings.ledger.worm
    has_copies = bool(worm.folder or worm.url)
    yield Check(
        "copies", Health.WELL if has_copies else Health.ATTENTION,
        "checkpoints are copied where nobody overwrites them" if has_copies else "no checkpoint is copied",
        "" if has_copies else "Set KHATIM_LEDGER__WORM.",
    )  # fmt: skip


def _keys(settings: Settings, _: datetime) -> Iterator[Check]:
    held = custody.custody_of(settings, Instance(settings.data))
    for fault in held.faults():
        yield Check("keys", Health.ILL, fault.detail, fault.advice)
    tested, missing = custody.last_test(held)
    health = Health.WELL if tested else Health.ATTENTION
    words = f"the authority was recovered in a test at {tested}" if tested else str(missing)
    yield Check("keys", health, words, "" if tested else "khatim authority backup, then khatim authority recovery-test")


def _provider(settings: Settings, _: datetime) -> Iterator[Check]:
    if settings.oidc is None:
        yield Check("sign-in", Health.ATTENTION, "local mode: one person with several names", "docs/guides/sign-in.md")
        return
    provider = Provider.of(settings.oidc, b"")
    told = provider.keys.metadata()
    secret = settings.oidc.client_secret_file
    if secret is not None and stat.S_IMODE(secret.stat().st_mode) & 0o077:
        yield Check("sign-in", Health.ILL, f"others can read {secret}", f"chmod go= {secret}")
    lacking = [name for name in _wanted(settings) if name not in told]
    yield Check(
        "sign-in", Health.ILL if lacking else Health.WELL,
        f"{settings.oidc.issuer} lacks {', '.join(lacking)}" if lacking else f"{settings.oidc.issuer} answers",
    )  # fmt: skip


def _wanted(settings: Settings) -> list[str]:
    said: Any = settings.oidc
    console = ["authorization_endpoint", "token_endpoint"] if said.client_id else []
    return [*console, *(["device_authorization_endpoint"] if said.device_client_id else [])]


LOOKS: Final[dict[str, Look]] = {
    "server": _server, "folders": _folders, "disk": _disk, "clock": _clock, "tls": _tls, "database": _database,
    "witnesses": _witnesses, "keys": _keys, "sign-in": _provider,
}  # fmt: skip
"""What is looked at, in this order."""
