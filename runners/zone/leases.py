# SPDX-License-Identifier: Apache-2.0
"""Keeping a job while the work on it runs."""

from __future__ import annotations

import threading
from typing import Self

from khatim.errors import Conflict, KhatimError, Unavailable
from khatim.wire import work
from runners.zone.connection import Connection, now

HEARTBEAT_S = 8.0


class Lease:
    """Renews a job's lease in the background; when it cannot, the work is told to stop before the lease ends."""

    def __init__(self, connection: Connection, job: work.Work) -> None:
        """Take the job as it was claimed."""
        self._connection = connection
        self._job = job
        self._until = job.lease_until
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._lost:
            raise Conflict("the lease was lost while the work ran")

    def alive(self) -> bool:
        """Whether the work should go on."""
        return not self._lost and now() < self._until

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                lease = self._connection.heartbeat(self._job.id, self._job.fence)
            except Unavailable:
                continue  # `alive` answers False when the lease ends meanwhile
            except KhatimError:
                self._lost = True
                return
            self._until, self._lost = lease.lease_until, lease.order == "cancel"
