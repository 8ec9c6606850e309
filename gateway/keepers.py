# SPDX-License-Identifier: Apache-2.0
"""Who knows the ledger's head outside the database, by the settings of an installation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from audit import direct
from audit.clock import Asked, ClockGuard
from audit.heads import HeadFile, HeadKeeper
from audit.sntp import TimeServer
from gateway import publishing
from gateway.instance import Instance
from khatim.settings import Settings, is_loopback


def keepers_of(settings: Settings, instance: Instance) -> Sequence[HeadKeeper]:
    """Return the keepers that the sequencer asks before it signs: the file beside the keys first of all."""
    witnesses = publishing.witnesses_of(settings, f"ledger.{settings.instance}.khatim")
    return [HeadFile(instance.head_file), *witnesses, *publishing.copies_of(settings)]


def clock_of(settings: Settings, url: str) -> ClockGuard:
    """Return what judges the sequencer's clock: by a time server if one is named, and by the database at *url*."""
    host = urlsplit(url).hostname
    # A database on this machine is set with our own clock, so it confirms nothing.
    database = Asked("database", direct.DatabaseTime(url).now, utc_now, bool(host) and not is_loopback(host or ""))
    servers = [TimeServer(settings.clock.ntp, utc_now)] if settings.clock.ntp else []
    return ClockGuard(utc_now, [*servers, database], settings.clock.tolerance_s, must_answer=settings.clock.required)


def utc_now() -> datetime:
    """Return the present moment of this machine."""
    return datetime.now(UTC)
