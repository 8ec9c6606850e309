# SPDX-License-Identifier: Apache-2.0
"""What waits for the caller."""

from __future__ import annotations

from collections.abc import Iterator

from khatim.calls.connection import Connection
from khatim.wire import waiting

LONGEST_S = 25.0


class Queue:
    """Requests that the caller may decide, versions that lack their approval, findings that they own."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def get(self, *, mark: str = "", wait_s: float = 0) -> waiting.Waiting:
        """Return what waits; with the *mark* of the last answer, when it differs or after *wait_s*, at most 30."""
        return self._connection.ask(waiting.Waiting, "/v1/waiting", {"mark": mark, "wait": str(wait_s)})

    def follow(self) -> Iterator[waiting.Waiting]:
        """Yield what waits now, and again whenever it changes, until the caller stops asking."""
        found = self.get()
        while True:
            yield found
            before = found.mark
            while found.mark == before:
                found = self.get(mark=before, wait_s=LONGEST_S)
