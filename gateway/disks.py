# SPDX-License-Identifier: Apache-2.0
"""The disks of one installation: which volumes are looked at, where the ballast lies, who tends it."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from audit.reserve import Ballast, Limits
from audit.reserve_watch import Reserve
from khatim.errors import Misconfigured, Unavailable
from khatim.settings import Settings

_log = logging.getLogger("khatim.disk")
STEPS = 4
EVERY_S = 0.25


def ballast_of(settings: Settings) -> Ballast | None:
    """Return the ballast in the data folder; None where the settings want none."""
    size = settings.disk.ballast_mb * 1_000_000
    return Ballast(settings.data / "ballast", size // STEPS, STEPS) if size else None


def reserve_of(settings: Settings, engine: Engine | None = None) -> Reserve:
    """Return what knows the disks of this installation; with *engine* it can ask a database that stands elsewhere.

    The data folder is always looked at, the embedded database and its log also where they are volumes of their own.
    Raises `Misconfigured` when the settings name a volume that is not there.
    """
    named = settings.disk.volume
    if named is not None and not named.exists():
        raise Misconfigured(f"disk.volume: there is no {named}")
    cluster = settings.data / "postgres" / "cluster"
    volumes = [settings.data, *(path for path in (cluster, cluster / "pg_wal", named) if path and path.exists())]
    query = settings.disk.query
    limits = Limits(settings.disk.alarm, settings.disk.refuse)
    ask = (lambda: _asked(engine, query)) if engine is not None and query else None
    return Reserve(volumes, ballast_of(settings), limits, ask=ask)


def _asked(engine: Engine, query: str) -> float:
    try:
        with engine.connect() as connection:
            return float(connection.execute(text(query)).scalar_one())
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise Unavailable(f"disk.query does not tell the share in use: {error}") from error


class Tending:
    """Tends the ballast in a thread of the supervisor, as long as the server runs."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; `reserve` is what the thread looks through."""
        self.reserve = reserve_of(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End; the ballast stays where it is."""
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        while True:
            try:
                self.reserve.tend()
            except OSError as error:
                _log.error("the ballast cannot be tended: %s", error)
            if self._stop.wait(EVERY_S):
                return
