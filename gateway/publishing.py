# SPDX-License-Identifier: Apache-2.0
"""To whom checkpoints go, by the settings of an installation: witnesses, timestamp authorities, write-once copies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from audit.cosignatures import CosignatureVerifier
from audit.endorsed import OWN_CLOCK
from audit.publisher import Publisher, Publishing, Stamper
from audit.witness_client import WitnessClient, clients_of
from audit.witness_policy import WitnessPolicy
from audit.worm import Copies, WriteOnceFolder
from gateway.instance import Instance
from khatim.errors import Malformed, Misconfigured
from khatim.settings import Settings, WormSettings

if TYPE_CHECKING:
    from registry.signing.office import Office

_TIMEOUT_S = 10.0


def witness_policy_of(settings: Settings) -> WitnessPolicy:
    """Return which witnesses make a checkpoint count; raises `Misconfigured` for a wrong key or quorum."""
    given = settings.ledger
    try:
        return WitnessPolicy.of_keys([(one.vkey, one.url) for one in given.witnesses], given.quorum)
    except Malformed as wrong:
        raise Misconfigured(f"ledger.witnesses: {wrong}") from wrong


def witnesses_of(settings: Settings, origin: str) -> list[WitnessClient]:
    """Return the witnesses that have an address."""
    known = [(CosignatureVerifier.parse(one.vkey), one.url) for one in settings.ledger.witnesses]
    return clients_of(known, origin, must_answer=settings.ledger.witnesses_first)


def copies_of(settings: Settings) -> list[Copies]:
    """Return the write-once storages; raises `Misconfigured` when a bucket's secret cannot be read."""
    worm, found = settings.ledger.worm, list[Copies]()
    if worm.folder:
        found.append(WriteOnceFolder(worm.folder, must_answer=settings.ledger.witnesses_first))
    if worm.url:
        found.append(_bucket(worm, must_answer=settings.ledger.witnesses_first))
    return found


@contextmanager
def publishing_of(settings: Settings, instance: Instance) -> Iterator[Publishing]:
    """Yield to whom the checkpoints of this installation go: its own authority always, and one outside if named."""
    with ExitStack() as held:
        given = settings.ledger
        stampers: dict[str, Stamper] = {OWN_CLOCK: held.enter_context(closing(OwnClock(settings, instance))).stamp}
        if given.timestamp_url:
            outside = held.enter_context(closing(OutsideClock(given.timestamp_url, given.timestamp_root)))
            stampers[given.timestamp_url] = outside.stamp
        witnesses = witnesses_of(settings, f"ledger.{settings.instance}.khatim")
        for one in witnesses:
            held.callback(one.close)
        yield Publishing(witnesses, stampers, copies_of(settings))


@contextmanager
def publishing(settings: Settings, instance: Instance, dsn: str) -> Iterator[None]:
    """Publish checkpoints in a thread of its own while the block lasts."""
    stop = threading.Event()
    with publishing_of(settings, instance) as to:
        publisher = Publisher(dsn, to, period_s=settings.ledger.publish_s)
        thread = threading.Thread(target=publisher.run, args=(stop,), name="khatim-publisher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_TIMEOUT_S)


def _bucket(worm: WormSettings, *, must_answer: bool) -> Copies:
    from audit.worm_objects import LockedObjects  # noqa: PLC0415 - the vendor takes half a second, and few have one

    if not (worm.url and worm.access_key and worm.secret_file and worm.retain_days):
        raise Misconfigured("a bucket needs ledger.worm.access_key, secret_file and retain_days")
    try:
        secret = worm.secret_file.read_text(encoding="utf-8").strip()
    except OSError as wrong:
        raise Misconfigured(f"{worm.secret_file} cannot be read: {wrong.strerror}") from wrong
    bucket = LockedObjects(
        worm.url,
        worm.access_key,
        secret,
        retain=timedelta(days=worm.retain_days),
        clock=lambda: datetime.now(UTC),
        region=worm.region,
        must_answer=must_answer,
    )
    bucket.check()
    return bucket


class OwnClock:
    """The installation's own timestamp authority, by whichever way it signs: the signer's process, or this one."""

    def __init__(self, settings: Settings, instance: Instance) -> None:
        """Take the installation; its office is opened when it is first asked."""
        self._settings, self._instance = settings, instance
        self._office: Office | None = None

    def stamp(self, note: bytes) -> bytes:
        """Have *note* stamped; raises `Unavailable`, `ClockUnreliable`."""
        from gateway import signing  # noqa: PLC0415 - the sequencer starts without Sigstore
        from registry.signing import stamping  # noqa: PLC0415 - as above

        if self._office is None:
            self._office = signing.office_of(self._settings, self._instance)
        return stamping.stamped(self._office.timestamp, note, "the signer")

    def close(self) -> None:
        """Let go of the office."""
        if self._office is not None:
            self._office.close()


class OutsideClock:
    """A timestamp authority that somebody else runs, over HTTP."""

    def __init__(self, url: str, certificates: Path | None = None) -> None:
        """Take its address, and the file with its certificates (PEM), by which its answers then have to hold."""
        self._url, self._certificates = url, certificates
        self._http = httpx.Client(timeout=_TIMEOUT_S)

    def stamp(self, note: bytes) -> bytes:
        """Have *note* stamped; raises `Unavailable` for any other answer than the one that was asked for."""
        from registry.signing import ledger_time, stamping  # noqa: PLC0415 - as above

        clock = ledger_time.outside_of(self._certificates, self._url) if self._certificates else None
        return stamping.stamped(stamping.over_http(self._url, self._http), note, self._url, clock)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()
