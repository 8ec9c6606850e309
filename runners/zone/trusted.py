# SPDX-License-Identifier: Apache-2.0
"""Whom an agent believes: the trusted root of its enrolment, and those that signed steps lead to from there.

What the registry says at a renewal changes nothing: a registry that was taken over could name another authority.  The
newest root and its number outlive the process; an older one is refused.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from khatim.errors import KhatimError, Misconfigured, VerificationFailed
from khatim.wire import work
from registry.signing import trust_links
from registry.signing.trust import dumps
from registry.signing.verification import TrustRoot
from runners.zone.connection import durably

log = logging.getLogger("khatim.runners.trusted")
FILE = "trusted_root.json"


def pin(folder: Path, identity: work.Identity) -> None:
    """Keep the trusted root of an enrolment as where to start from."""
    _write(folder / FILE, identity.trust, identity.trusted_root)


class Trusted:
    """The trusted root now.  Thread-safe: one loop takes steps, others verify."""

    def __init__(self, folder: Path, instance: str) -> None:
        """Read what *folder* keeps; raises `Misconfigured` when there is nothing that can be read."""
        self._file = folder / FILE
        self._instance = instance
        self._lock = threading.Lock()
        try:
            kept = json.loads(self._file.read_bytes())
            self._known = int(kept["number"]), TrustRoot.load(dumps(kept["root"]))
        except (OSError, ValueError, KeyError, TypeError, KhatimError) as wrong:
            raise Misconfigured(
                f"the trusted root in {self._file} cannot be read", advice="Enrol the agent anew, in an empty folder."
            ) from wrong

    @property
    def number(self) -> int:
        """Return the number of the root."""
        return self._known[0]

    @property
    def root(self) -> TrustRoot:
        """Return the root, ready to verify with."""
        return self._known[1]

    def is_due(self, orders: work.Orders) -> bool:
        """Whether the registry has a newer root."""
        if orders.trust < self.number:
            log.warning("the registry knows trusted root %s, this agent %s", orders.trust, self.number)
        return orders.trust > self.number

    def take(self, steps: work.TrustSteps) -> None:
        """Follow *steps* from the root that is known; raises `VerificationFailed`, and then nothing has changed."""
        with self._lock:
            number, root = self._known
            if steps.number < number:
                raise VerificationFailed(
                    f"the registry's trusted root is number {steps.number}, but number {number} was seen before",
                    advice="Somebody serves an old one. Ask the registry's operator why.",
                    number=steps.number,
                    known=number,
                )
            if len(steps.links) != steps.number - number:
                raise VerificationFailed(f"the steps do not lead from trusted root {number} to {steps.number}")
            document: dict[str, Any] | None = None
            for number, link in enumerate(steps.links, number + 1):  # noqa: B020 - counted from what is known
                document = trust_links.follow(root, link, number, self._instance)
                root = TrustRoot.load(dumps(document))
            if document is not None:
                _write(self._file, number, document)
                self._known = number, root
                log.info("the trusted root is number %s now", number)


def _write(file: Path, number: int, document: dict[str, Any]) -> None:
    durably(file, json.dumps({"number": number, "root": document}).encode())
