# SPDX-License-Identifier: Apache-2.0
"""Which process holds the authority's keys: this one in local mode, else one of their own, ``khatim signer``."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from audit import direct
from audit.clock import Asked, ClockGuard, ClockSource
from audit.sntp import TimeServer
from audit.transaction import Clock, utc_now
from gateway import children, custody
from gateway.backends import backend_of
from gateway.embedded import EmbeddedDatabase
from gateway.instance import Instance
from khatim.errors import Misconfigured, Unavailable
from khatim.settings import Settings, is_loopback
from registry.signing import socket_server
from registry.signing.agent_book import AgentBook
from registry.signing.arrangement import arrange
from registry.signing.desk import LocalOffice
from registry.signing.journal import Journal
from registry.signing.office import Office
from registry.signing.outside_issuers import OutsideIssuer
from registry.signing.published_keys import PublishedKeys
from registry.signing.socket_office import SocketOffice
from registry.signing.vouching import Vouching

SHARED_NOTICE = "its account is the server's, so whoever takes that over has the keys (docs/guides/operations.md)"
LOCAL_NOTICE = "local mode: one process signs and serves, so whoever takes the server over has the signing keys"
_ISSUERS_S = 5.0
_CONNECT_S = 2


def is_apart(settings: Settings) -> bool:
    """Whether the keys are held by a process of their own: in production always, unless the settings say otherwise."""
    said = settings.authority.process
    return said if said is not None else not settings.is_local


def socket_of(settings: Settings) -> Path:
    """Return where the signer listens."""
    return settings.authority.socket or settings.data / "run" / "signer.sock"


def office_of(settings: Settings, instance: Instance, clock: Clock = utc_now) -> Office:
    """Return the office as a server process has it: without keys where the signer is apart."""
    return SocketOffice(socket_of(settings)) if is_apart(settings) else local_office(settings, instance, clock)


def local_office(settings: Settings, instance: Instance, clock: Clock = utc_now) -> LocalOffice:
    """Open the authority in this process, and let its record say how the settings want statements signed."""
    authority = custody.authority_of(settings, instance, clock)
    backend = backend_of(settings)
    arrange(authority.folder, custody.custody_of(settings, instance).keys, backend.wanted, clock())
    return LocalOffice(
        authority,
        issuer_of(settings),
        vouching_of(settings, instance),
        clock,
        ClockGuard(clock, sources_of(settings, clock), settings.clock.tolerance_s, must_answer=settings.clock.required),
        Journal(instance.folder / "authority" / "signer.jsonl"),
        AgentBook(instance.folder / "authority" / "agents" / "agents.jsonl"),
        pen=backend.pen,
    )


def issuer_of(settings: Settings) -> str:
    """Return the issuer that stands in the instance's own tokens and certificates."""
    return f"https://{settings.instance}"


def vouching_of(settings: Settings, instance: Instance) -> Vouching:
    """Return whose tokens earn certificates."""
    http = httpx.Client(timeout=_ISSUERS_S, follow_redirects=False)
    outsiders = [OutsideIssuer(PublishedKeys(one.url, http, one.jwks), one.claim) for one in settings.signing.issuers]
    key = instance.token_key(settings.authority.token_key)
    return Vouching(settings.instance, issuer_of(settings), key, outsiders, settings.is_local)


def sources_of(settings: Settings, clock: Clock) -> list[ClockSource]:
    """Return the clocks to compare ours with: the time server first, then the database."""
    servers: list[ClockSource] = [TimeServer(settings.clock.ntp, clock)] if settings.clock.ntp else []
    url = settings.database.url
    # The embedded database is on this machine: setting our clock sets its clock too.
    host = urlsplit(url).hostname if url else None
    return [*servers, Asked("database", _Database(settings).now, clock, bool(host) and not is_loopback(host or ""))]


class _Database:
    """The database's clock, on a connection of its own that is opened when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: psycopg.Connection[Any] | None = None

    def now(self) -> datetime:
        """Return the time there; raises `Unavailable`."""
        try:
            with direct.translated():
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(self._url(), autocommit=True, connect_timeout=_CONNECT_S)
                told: datetime = direct.value(self._connection.execute("SELECT clock_timestamp()"))
                return told
        except (Misconfigured, OSError) as away:
            raise Unavailable(f"there is no database: {away}") from away
        except Unavailable:
            if self._connection is not None:
                self._connection.close()
            raise

    def _url(self) -> str:
        said = self._settings.database.url
        return said or EmbeddedDatabase(self._settings.data / "postgres").url("khatim_service")


def accounts_of(settings: Settings) -> frozenset[int]:
    """Return the accounts (uids) that may ask the signer: those of the settings, by default its own alone."""
    return frozenset(settings.authority.accounts) or frozenset({os.getuid()})


def serve(settings: Settings) -> None:
    """Be the signer: hold the keys and answer on the socket, until the parent ends or a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    instance = Instance(settings.data)
    custody.custody_of(settings, instance).require_ready()
    office = local_office(settings, instance)
    try:
        socket_server.serve(socket_of(settings), office, accounts_of(settings), stop)
    finally:
        office.close()


def _end_with_parent(stop: threading.Event) -> None:
    while not stop.wait(0.5):
        if children.is_orphan():
            stop.set()


def await_signer(settings: Settings, *, timeout_s: float = 30.0, alive: Iterable[Callable[[], bool]] = ()) -> None:
    """Wait until the signer answers; raises `Unavailable` when it does not in time, or has ended."""
    deadline = time.monotonic() + timeout_s
    with contextlib.closing(SocketOffice(socket_of(settings))) as office:
        while True:
            try:
                office.record  # noqa: B018 - asking is what counts
            except Unavailable:
                if time.monotonic() > deadline or not all(one() for one in alive):
                    raise
                time.sleep(0.05)
            else:
                return
