# SPDX-License-Identifier: Apache-2.0
"""What an agent remembers of its deployments over a restart: what was asked, what it verified, the last orders.

With this, and with the trusted root and the list of revocations that it keeps, an agent serves again without a registry
what it served with one.  The statements inside a dossier are verified anew; the rest is as safe as the agent's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from khatim.errors import NotFound, VerificationFailed
from khatim.wire import proofs, work
from runners.zone.connection import durably

_PAUSES = TypeAdapter(dict[str, work.Paused])
ORDERS, SILENT = "orders.json", "silent.json"


class Remembered:
    """Files in the agent's folder: ``<deployment>.json``, and below ``known/`` its dossier and the last orders."""

    def __init__(self, folder: Path) -> None:
        """Make *folder* when it is not there."""
        self._folder, self._known = folder, folder / "known"
        self._orders: list[work.EndpointOrder] | None = None
        self._known.mkdir(parents=True, exist_ok=True, mode=0o700)

    def asked(self, deployment: str, spec: Mapping[str, Any]) -> None:
        """Remember what a deployment is to serve."""
        durably(self._folder / f"{deployment}.json", json.dumps(spec).encode())

    def deployments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every deployment with its specification."""
        for file in sorted(self._folder.glob("*.json")):
            yield file.stem, json.loads(file.read_text())

    def judged(self, deployment: str, dossier: proofs.Dossier) -> None:
        """Remember what a deployment was verified by."""
        durably(self._known / f"{deployment}.json", dossier.model_dump_json().encode())

    def dossier(self, deployment: str) -> proofs.Dossier:
        """Return what a deployment was verified by; raises `NotFound`, and `VerificationFailed` for what is none."""
        try:
            return proofs.Dossier.model_validate_json((self._known / f"{deployment}.json").read_bytes())
        except FileNotFoundError:
            raise NotFound("nothing is remembered of what it was verified by") from None
        except ValidationError as wrong:
            raise VerificationFailed("what is remembered of its verification cannot be read") from wrong

    def ordered(self, orders: work.Orders) -> None:
        """Remember the last orders; they are written when they change."""
        if orders.endpoints != self._orders:
            durably(self._known / ORDERS, orders.model_dump_json().encode())
            self._orders = list(orders.endpoints)

    def orders(self) -> list[work.EndpointOrder]:
        """Return the last orders, none when they were never heard or cannot be read."""
        try:
            return work.Orders.model_validate_json((self._known / ORDERS).read_bytes()).endpoints
        except (OSError, ValidationError):
            return []

    def fell_silent(self, pauses: Mapping[str, work.Paused]) -> None:
        """Remember what does not answer by what was agreed, and since when: a reboot must not lose it."""
        durably(self._known / SILENT, _PAUSES.dump_json(dict(pauses)))

    def silent(self) -> dict[str, work.Paused]:
        """Return what did not answer, none when nothing was kept or it cannot be read."""
        try:
            return _PAUSES.validate_json((self._known / SILENT).read_bytes())
        except (OSError, ValidationError):
            return {}

    def forget(self, deployment: str) -> None:
        """Remember a deployment no more."""
        for folder in (self._folder, self._known):
            (folder / f"{deployment}.json").unlink(missing_ok=True)
