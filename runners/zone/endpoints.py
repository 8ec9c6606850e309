# SPDX-License-Identifier: Apache-2.0
"""What is served in this zone: a thread-safe map of endpoints.  The agent writes it, the inference door reads it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from khatim.errors import NotFound, Suspended
from khatim.vocabulary import Assurance
from runners.zone.onnx_runtime import Session


class EndpointState(StrEnum):
    """Whether an endpoint answers."""

    SERVING = "serving"
    SUSPENDED = "suspended"


class Captures(Protocol):
    """Takes the rows that were asked about (`runners.zone.capture.Capture`).  Quick, and never raises."""

    def add(self, rows: NDArray[Any]) -> None:
        """Keep *rows*."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One served model version.  *finding* is the reference of what suspended it, *because* the sentence for people.

    *finite_only*: refuse inputs that hold NaN or infinities, which most models answer without complaint.
    """

    name: str
    version: str
    session: Session
    state: EndpointState = EndpointState.SERVING
    finding: str = ""
    because: str = ""
    capture: Captures | None = None
    finite_only: bool = True
    assurance: Assurance = Assurance.INDEPENDENT

    def require_serving(self) -> None:
        """Raise `khatim.errors.Suspended`, naming the finding, unless the endpoint answers."""
        if self.state is EndpointState.SUSPENDED:
            why = f": {self.because}" if self.because else "."
            if self.finding:
                raise Suspended(
                    f"The approval of {self.name} version {self.version} is suspended by {self.finding}{why}",
                    advice="Ask the model's owner; the endpoint answers again when the finding is resolved.",
                    finding=self.finding,
                )
            raise Suspended(
                f"{self.name} version {self.version} does not answer now{why}",
                advice="It answers again by itself when the reason is gone; ask the zone's operator.",
            )


class Endpoints:
    """The endpoints by name.  A reader sees an endpoint before or after a change, never between."""

    def __init__(self) -> None:
        """Serve nothing yet."""
        self._lock = threading.Lock()
        self._by_name: dict[str, Endpoint] = {}

    def put(self, endpoint: Endpoint) -> Endpoint | None:
        """Serve *endpoint* under its name; return the one it replaces."""
        with self._lock:
            before = self._by_name.get(endpoint.name)
            self._by_name[endpoint.name] = endpoint
            return before

    def get(self, name: str, version: str = "") -> Endpoint:
        """Return the endpoint; raises `khatim.errors.NotFound` for an unknown name or another version."""
        endpoint = self._by_name.get(name)  # one read of a dict is atomic
        if endpoint is None:
            raise NotFound(f"No model {name!r} is served here.")
        if version and version != endpoint.version:
            raise NotFound(f"The model {name!r} is served here in version {endpoint.version}, not {version!r}.")
        return endpoint

    def suspend(self, name: str, *, finding: str, because: str = "") -> Endpoint:
        """Stop answering for *name*, from the next request on."""
        return self._change(name, state=EndpointState.SUSPENDED, finding=finding, because=because)

    def resume(self, name: str) -> Endpoint:
        """Answer again."""
        return self._change(name, state=EndpointState.SERVING, finding="", because="")

    def remove(self, name: str) -> Endpoint:
        """Serve *name* no more; raises `khatim.errors.NotFound` when it is not served."""
        with self._lock:
            if name not in self._by_name:
                raise NotFound(f"No model {name!r} is served here.")
            return self._by_name.pop(name)

    def all(self) -> tuple[Endpoint, ...]:
        """Return every endpoint, sorted by name."""
        with self._lock:
            return tuple(self._by_name[name] for name in sorted(self._by_name))

    def _change(self, name: str, **fields: Any) -> Endpoint:
        with self._lock:
            if name not in self._by_name:
                raise NotFound(f"No model {name!r} is served here.")
            changed = replace(self._by_name[name], **fields)
            self._by_name[name] = changed
            return changed
