# SPDX-License-Identifier: Apache-2.0
"""Registered models and their versions: registered, judged, approved, promoted, revoked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.errors import Unavailable
from khatim.vocabulary import Role, Stage, VersionStatus
from khatim.wire import answers, history, proofs, requests

POLL_S = 0.25


class Models:
    """Registered models."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def create(self, name: str, *, description: str = "", tier: int = 2) -> answers.Model:
        """Create a registered model; *tier* 1 is the highest risk.  Raises `AlreadyExists`."""
        given = body(requests.CreateModel, description=description, tier=tier)
        return self._connection.send(answers.Model, addresses.model(name), given)

    def get(self, name: str) -> answers.Model:
        """Return one registered model."""
        return self._connection.ask(answers.Model, addresses.model(name))

    def list(self, *, search: str = "") -> Iterator[answers.Model]:
        """Yield registered models by name; with *search*, those whose name contains it."""
        return self._connection.pages(answers.Model, "/v1/models", {"search": search, "limit": PAGE})

    def aliases(self, name: str) -> Iterator[answers.Alias]:
        """Yield the aliases of a model."""
        return self._connection.pages(answers.Alias, f"{addresses.model(name)}/aliases")

    def alias_history(self, name: str, alias: str) -> Iterator[history.AliasMove]:
        """Yield where an alias pointed, newest first."""
        return self._connection.pages(history.AliasMove, f"{addresses.model(name)}/aliases/{alias}/history")

    def history(
        self, name: str, *, stage: Stage | str = Stage.PRODUCTION, at: datetime | None = None
    ) -> Iterator[history.StagePeriod]:
        """Yield which versions stood in *stage*, newest first; with *at*, those that stood there then."""
        asked = {"stage": str(stage), **({"at": at.isoformat()} if at else {})}
        return self._connection.pages(history.StagePeriod, f"{addresses.model(name)}/history", asked)


class Versions:
    """Model versions."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def register(
        self,
        model: str,
        *,
        zone: str,
        files: Sequence[requests.ManifestFile],
        parents: Sequence[str] = (),
        bases: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> answers.Version:
        """Register the next version of *model*, of files that stand in *zone* already; `wait` until it is scanned."""
        given = body(
            requests.Register, zone=zone, files=list(files), parents=list(parents), bases=list(bases), tags=list(tags)
        )
        return self._connection.send(answers.Version, f"{addresses.model(model)}/versions", given)

    def get(self, path: str) -> answers.Version:
        """Return one version."""
        return self._connection.ask(answers.Version, addresses.version(path))

    def list(self, model: str) -> Iterator[answers.Version]:
        """Yield the versions of a model, newest first."""
        return self._connection.pages(answers.Version, f"{addresses.model(model)}/versions")

    def wait(self, path: str, *, timeout_s: float = 300) -> answers.Version:
        """Return the version when it is scanned, whatever the scan said; raises `Unavailable` after *timeout_s*."""
        until = time.monotonic() + timeout_s
        while (version := self.get(path)).status == VersionStatus.PENDING.value:
            if time.monotonic() > until:
                raise Unavailable(
                    f"{path} was not scanned in {timeout_s:g} s", advice=f"Does an agent run in zone {version.zone}?"
                )
            self._connection.sleep(POLL_S)
        return version

    def evaluate(
        self,
        path: str,
        *,
        thresholds: Mapping[str, Mapping[str, float | bool]] | None = None,
        subgroups: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> answers.Job:
        """Ask for an evaluation on the held-out data of its training."""
        named = {"thresholds": thresholds, "subgroups": subgroups}
        given = body(requests.Evaluate, **{key: dict(value) for key, value in named.items() if value is not None})
        return self._connection.send(answers.Job, f"{addresses.version(path)}/evaluations", given)

    def evidence(self, path: str) -> Iterator[answers.Evidence]:
        """Yield the evidence about a version, oldest first."""
        return self._connection.pages(answers.Evidence, f"{addresses.version(path)}/evidence")

    def approve(
        self,
        path: str,
        *,
        role: Role | str,
        meaning: str,
        comment: str = "",
        valid_days: int = 365,
        ticket: Mapping[str, str] | None = None,
        obligations: Mapping[str, datetime] | None = None,
        seen: str = "",
    ) -> answers.Approval:
        """Approve a version in one *role* that you hold; *meaning* is what your signature says.

        *obligations* say what must be done by when: it holds until the first is due.  *ticket* is a change ticket as
        you see it (`id`, and perhaps `state`, `title`, `url`); *seen* the `binding` of the gate's report that you
        looked at.  Raises `Changed` when that is not what it is now, and `SeparationOfDuties` for whoever had a hand in
        it, or whose turn has not come.
        """
        asked = [{"text": text, "due_at": due} for text, due in (obligations or {}).items()]
        given = body(
            requests.Approve, role=role, meaning=meaning, comment=comment, valid_days=valid_days, ticket=ticket,
            obligations=asked, seen=seen,
        )  # fmt: skip
        return self._connection.send(answers.Approval, f"{addresses.version(path)}/approvals", given)

    def attest(
        self, path: str, *, checked: Sequence[str], meaning: str, valid_days: int = 90
    ) -> answers.SelfAttestation:
        """Attest one's own work after the checklist of the profile solo; it is no approval.

        Raises `GateNotSatisfied` where other people must approve, `Malformed` for an item that was left out.
        """
        given = body(requests.SelfAttest, checked=checked, meaning=meaning, valid_days=valid_days)
        return self._connection.send(answers.SelfAttestation, f"{addresses.version(path)}/self-attestations", given)

    def attestations(self, path: str) -> Iterator[answers.SelfAttestation]:
        """Yield the self-attestations of a version, oldest first, whatever their state."""
        return self._connection.pages(answers.SelfAttestation, f"{addresses.version(path)}/self-attestations")

    def answer(self, path: str, approval: str | uuid.UUID, *, number: int, said: str) -> answers.Approval:
        """Say how obligation *number* (from 1) of a conditional approval was met."""
        where = f"{addresses.version(path)}/approvals/{approval}/answers"
        return self._connection.send(answers.Approval, where, body(requests.Answered, number=number, said=said))

    def withdraw(self, path: str, approval: str | uuid.UUID, *, because: str) -> answers.Approval:
        """Take an approval of your own back; endpoints that rest on it stop."""
        where = f"{addresses.version(path)}/approvals/{approval}/withdrawal"
        return self._connection.send(answers.Approval, where, body(requests.Reason, because=because))

    def approvals(self, path: str) -> Iterator[answers.Approval]:
        """Yield the approvals of a version, oldest first, whatever their state."""
        return self._connection.pages(answers.Approval, f"{addresses.version(path)}/approvals")

    def gate(self, path: str, transition: str, *, zone: str = "") -> proofs.GateReport:
        """Return what a transition (staging, production, deploy, archived) requires and what of it is met."""
        return self._connection.ask(proofs.GateReport, f"{addresses.version(path)}/gates/{transition}", {"zone": zone})

    def promote(self, path: str, *, to: Stage | str, because: str) -> answers.Version:
        """Move a version to another stage.  Raises `GateNotSatisfied` with everything that is unmet."""
        given = body(requests.Promote, to=to, because=because)
        return self._connection.send(answers.Version, f"{addresses.version(path)}/promotions", given)

    def revoke(self, path: str, *, because: str) -> answers.Version:
        """Revoke a version for good; its endpoints stop within seconds."""
        given = body(requests.Reason, because=because)
        return self._connection.send(answers.Version, f"{addresses.version(path)}/revocation", given)

    def alias(self, path: str, alias: str, *, because: str = "") -> answers.Alias:
        """Point *alias* at a version of its model; a protected one only at what may be served."""
        model, _, number = addresses.numbered(path).partition("@")
        given = body(requests.SetAlias, number=int(number), because=because)
        return self._connection.send(answers.Alias, f"{addresses.model(model)}/aliases/{alias}", given, method="PUT")

    def lineage(self, path: str) -> Iterator[proofs.Node]:
        """Yield the lineage of a version: itself first, the raw files last, each with its signed statements."""
        return self._connection.pages(proofs.Node, f"{addresses.version(path)}/lineage")

    def dossier(self, path: str) -> proofs.Dossier:
        """Return everything needed to judge a version offline."""
        return self._connection.ask(proofs.Dossier, f"{addresses.version(path)}/dossier")
