# SPDX-License-Identifier: Apache-2.0
"""To whom checkpoints go, by the settings of an installation: witnesses, timestamp authorities, write-once copies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx

from audit.cosignatures import CosignatureVerifier
from audit.publisher import Publisher, Publishing, Stamper
from audit.witness_client import WitnessClient, clients_of
from audit.witness_policy import WitnessPolicy
from audit.worm import Copies, WriteOnceFolder
from gateway.instance import Instance
from khatim.errors import Malformed, Misconfigured, Unavailable
from khatim.settings import Settings, WormSettings

EMBEDDED = "embedded"
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


def publishing_of(settings: Settings, instance: Instance) -> Publishing:
    """Return to whom the checkpoints of this installation go."""
    stampers: dict[str, Stamper] = {}
    # In local mode the embedded authority's keys are this machine's own; elsewhere they are the signer's alone.
    if settings.is_local:
        stampers[EMBEDDED] = _embedded(instance)
    if settings.ledger.timestamp_url:
        stampers[settings.ledger.timestamp_url] = _outside(settings.ledger.timestamp_url)
    origin = f"ledger.{settings.instance}.khatim"
    return Publishing(witnesses_of(settings, origin), stampers, copies_of(settings))


@contextmanager
def publishing(settings: Settings, instance: Instance, dsn: str) -> Iterator[None]:
    """Publish checkpoints in a thread of its own while the block lasts."""
    stop = threading.Event()
    to = publishing_of(settings, instance)
    publisher = Publisher(dsn, to, period_s=settings.ledger.publish_s)
    thread = threading.Thread(target=publisher.run, args=(stop,), name="khatim-publisher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_TIMEOUT_S)
        for witness in to.witnesses:
            witness.close()


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


def _embedded(instance: Instance) -> Stamper:
    def stamp(note: bytes) -> bytes:
        from registry.signing.authority import Authority  # noqa: PLC0415 - the sequencer starts without it

        authority = Authority.open(instance.folder / "authority" / "sigstore")
        try:
            return authority.stamp(note, datetime.now(UTC))
        finally:
            authority.close()

    return stamp


def _outside(url: str) -> Stamper:
    def stamp(note: bytes) -> bytes:
        from registry.signing import timestamp  # noqa: PLC0415 - as above

        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            answer = httpx.post(url, content=timestamp.request(note), headers=headers, timeout=_TIMEOUT_S)
        except httpx.HTTPError as lost:
            raise Unavailable(f"{url} does not answer: {str(lost) or type(lost).__name__}") from lost
        if not answer.is_success:
            raise Unavailable(f"{url} answers {answer.status_code}")
        return timestamp.granted(answer.content)

    return stamp
