# SPDX-License-Identifier: Apache-2.0
"""Endpoints of an agent: loaded only after verification, remembered over a restart, obeying the registry's orders."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from khatim.errors import KhatimError, Unavailable, VerificationFailed
from khatim.vocabulary import Assurance, Digest
from khatim.wire import proofs, work
from registry.signing import statements
from runners.zone import arrow, capture, onnx_runtime, verification
from runners.zone.capture import Capture
from runners.zone.drift.schema import DriftPlan, Engine
from runners.zone.duties import Zone
from runners.zone.endpoints import Endpoint, Endpoints, EndpointState
from runners.zone.remembered import Remembered
from runners.zone.staples import Staples
from runners.zone.verification import Trust, Verification

log = logging.getLogger("khatim.runners.hosting")
ANSWERING = "serving"
DOWN = ("stopped", "refused")


@dataclass(frozen=True)
class Served:
    """One deployment that this agent has verified and loaded."""

    deployment: str
    endpoint: Endpoint
    capture: Capture
    spec: Mapping[str, Any]
    verified: Verification


class Host:
    """Loads, suspends and drops endpoints.  What answers under a model's name is its newest serving deployment."""

    def __init__(  # noqa: PLR0913, PLR0917 - where it serves, and by what it judges
        self,
        zone: Zone,
        folder: Path,
        trust: Callable[[], Trust],
        dossier: Callable[[str], proofs.Dossier],
        staples: Staples,
        url: str,
    ) -> None:
        """Serve for *zone*; remember deployments in *folder*; *url* is where the endpoints are reached."""
        self.endpoints = Endpoints()
        self._zone = zone
        self._remembered = Remembered(folder)
        self._trust = trust
        self._dossier = dossier
        self._staples = staples
        self._silent = self._remembered.silent()  # what does not answer by what was agreed, and since when
        self._url = url
        self._served: dict[str, Served] = {}
        self._owed: set[str] = set()  # restored without the registry, or not at all: to be verified with it
        self._states: dict[str, work.EndpointOrder] = {}
        self._lock = threading.RLock()

    def deploy(self, job: work.Work) -> work.Outcome:
        """Verify, load and serve the version of a deployment job; return what was verified, signed."""
        served = self._load(job.spec, self._judge(job.spec))
        verified = served.verified.said
        with self._lock:
            self._served[served.deployment] = served
            self._arrange()
        self._remembered.asked(served.deployment, job.spec)
        endpoint = f"{self._url}/v2/models/{served.endpoint.name}"
        predicate = {"endpoint": endpoint, "providers": list(served.endpoint.session.providers), **verified}
        statement = self._zone.attest(statements.DEPLOYMENT, [("model.onnx", job.spec["model"])], predicate)
        return work.Deployed(
            endpoint=endpoint,
            providers=list(served.endpoint.session.providers),
            verification=verified,
            statement=statement,
        )

    def restore(self) -> None:
        """Load again what was served before a restart, verified anew; what does not verify stays down."""
        for name, spec in self._remembered.deployments():
            try:
                self._serve(self._load(spec, self._judge(spec)))
            except Unavailable as away:
                log.warning("deployment %s is not served again yet: %s", name, away.detail)
                self._owed.add(name)
            except KhatimError as error:
                log.warning("deployment %s is not served again: %s", name, error.detail)

    def restore_alone(self, *, may_serve: bool) -> None:
        """Load again without the registry what it last ordered to serve, verified anew by what is remembered.

        Whatever comes of it, `catch_up` asks the registry later.  Unless *may_serve* everything stays down until then;
        for how long it answers is what the signed status and the terms of each deployment say.
        """
        with self._lock:
            self._states = {order.deployment: order for order in self._remembered.orders()}
        for name, spec in self._remembered.deployments():
            self._owed.add(name)
            # One that no order named was never reported, and one that was ordered down stays down.
            is_down = name not in self._states or self._states[name].state in DOWN
            if not may_serve or is_down or not self._staples.was_serving(name):
                continue
            try:
                self._serve(self._load(spec, self._verify(spec, self._remembered.dossier(name))))
            except KhatimError as error:
                log.warning("deployment %s is not served without the registry: %s", name, error.detail)
        with self._lock:
            self._arrange()

    def catch_up(self) -> list[tuple[str, str]]:
        """Verify with the registry what was restored without; return deployment and reason of each that falls.

        Raises `Unavailable` when it is away again; the rest is still owed then.
        """
        fallen = []
        for name, spec in self._remembered.deployments():
            if name not in self._owed:
                continue
            served = self._served.get(name)
            try:
                verified = self._judge(spec)
                self._serve(replace(served, verified=verified) if served else self._load(spec, verified))
            except Unavailable:
                raise
            except KhatimError as error:
                log.warning("deployment %s is not served any more: %s", name, error.detail)
                if served:
                    fallen.append((name, error.detail))
                with self._lock:
                    self._drop(name, forget=False)
            self._owed.discard(name)
            with self._lock:
                self._arrange()
        return fallen

    def obey(self, orders: work.Orders) -> None:
        """Do what the registry says about each endpoint, from the next request on."""
        self._remembered.ordered(orders)
        with self._lock:
            self._states = {order.deployment: order for order in orders.endpoints}
            for name in [name for name, order in self._states.items() if order.state in DOWN]:
                self._drop(name)
            self._arrange()

    def enforce(self) -> list[tuple[str, str]]:
        """Take down what rests on something revoked; return deployment and reason of each.

        What fell may have been one of several: the version is verified again without it, and goes on if it holds.
        """
        halted = []
        book, at = self._trust().book, self._zone.clock()
        with self._lock:
            fallen = [(one, one.verified.struck(book, at)) for one in self._served.values()]
        for served, verdict in fallen:
            if verdict.holds:
                continue
            try:
                again = replace(served, verified=self._judge(served.spec))
            except KhatimError as error:
                log.warning("deployment %s is taken down: %s", served.deployment, verdict.sentence)
                halted.append((served.deployment, f"{verdict.sentence} ({error.detail})"))
                again = None
            with self._lock:
                if again is not None and served.deployment in self._served:
                    self._served[served.deployment] = again
                elif again is None:
                    # Its specification stays: after a restart it is verified again, against the list on disk.
                    self._drop(served.deployment, forget=False)
        with self._lock:
            self._arrange()
        return halted

    def pauses(self) -> list[tuple[str, work.Paused]]:
        """Return the deployments that fell silent since the last call, or answer again, by what was agreed for them."""
        at = self._staples.now()
        with self._lock:
            silent = {name: self._why_silent(served) for name, served in self._served.items()}
        over = [name for name in self._silent if not silent.get(name)]
        told = [(name, self._silent.pop(name).model_copy(update={"until": at})) for name in over]
        for name, why in silent.items():
            if why and name not in self._silent:
                self._silent[name] = work.Paused(because=why, since=at)
                told.append((name, self._silent[name]))
        if told:
            self._remembered.fell_silent(self._silent)
        return told

    def monitor(self, job: work.Work, engines: Sequence[Engine]) -> work.Outcome:
        """Compare what was captured at an endpoint with the model's reference, by every engine."""
        with self._lock:
            served = self._served.get(str(job.spec["deployment"]))
        if served is None:
            raise VerificationFailed("this agent does not serve that deployment")
        taken = served.capture.take()
        if not taken:
            raise VerificationFailed("nothing flowed through the endpoint since the last run")
        sample = pa.concat_tables(capture.unpack(self._zone.read(one.digest)) for one in taken)
        reference = arrow.from_parquet(self._zone.read(job.spec["reference"]))
        plan = DriftPlan(reference_digest=job.spec["reference"], seed=int(job.spec["seed"]))
        reports = [engine.detect(_columns(reference), _columns(sample), plan) for engine in engines]
        results = [{**asdict(report), "drifted": list(report.drifted)} for report in reports]
        return work.Monitored(results=json.loads(json.dumps(results)), captured=sample.num_rows)

    def close(self) -> None:
        """Write what was captured and stop."""
        for name in list(self._served):
            self._drop(name, forget=False)

    def _serve(self, served: Served) -> None:
        with self._lock:
            self._served[served.deployment] = served

    def _judge(self, spec: Mapping[str, Any]) -> Verification:
        """Verify by what the registry says now, and remember that."""
        dossier = self._dossier(spec["version"])
        verified = self._verify(spec, dossier)
        self._remembered.judged(str(spec["deployment"]), dossier)
        return verified

    def _verify(self, spec: Mapping[str, Any], dossier: proofs.Dossier) -> Verification:
        return verification.verify(
            dossier,
            self._trust(),
            digest=spec["digest"],
            zone=self._zone.name,
            policy=spec["policy"],
            seats=spec["seats"],
            is_self_attested=spec.get("assurance") == Assurance.SELF_ATTESTED,
            at=self._zone.clock(),
        )

    def _load(self, spec: Mapping[str, Any], verified: Verification) -> Served:
        # Every file is read whole: the store compares each with its digest.
        for file in spec["files"]:
            for _ in self._zone.store.chunks(Digest.parse(file["digest"])):
                pass
        session = onnx_runtime.load(self._zone.read(spec["model"]), spec["providers"])
        model, _, number = str(spec["version"]).partition("@")
        kept = Capture(
            lambda data: self._zone.keep(data, "application/vnd.apache.arrow.stream").digest, spec["features"]
        )
        assurance = Assurance(spec.get("assurance", Assurance.INDEPENDENT))
        endpoint = Endpoint(
            name=model.replace("/", "."), version=number, session=session, capture=kept, assurance=assurance
        )
        return Served(str(spec["deployment"]), endpoint, kept, spec, verified)

    def _arrange(self) -> None:
        """Put under each model's name its newest serving deployment, else its newest suspended one."""
        best: dict[str, tuple[bool, str, Endpoint]] = {}
        for name, served in self._served.items():
            order = self._states.get(name)
            # A deployment that the orders do not name yet was verified a moment ago and is about to be reported.
            why = self._why_silent(served)
            is_serving = (order is None or order.state == ANSWERING) and not why
            state = EndpointState.SERVING if is_serving else EndpointState.SUSPENDED
            endpoint = replace(
                served.endpoint,
                state=state,
                finding=f"finding:{order.finding}" if order and order.finding else "",
                because=why or (order.because if order else ""),
            )
            rank = (is_serving, name, endpoint)
            if endpoint.name not in best or rank[:2] > best[endpoint.name][:2]:
                best[endpoint.name] = rank
        for gone in {one.name for one in self.endpoints.all()} - best.keys():
            self.endpoints.remove(gone)
        for _, _, endpoint in best.values():
            self.endpoints.put(endpoint)

    def _why_silent(self, served: Served) -> str:
        return self._staples.why_silent(served.deployment, served.spec.get("runtime", {}))

    def _drop(self, name: str, *, forget: bool = True) -> None:
        served = self._served.pop(name, None)
        if served is not None:
            served.capture.close()
        if forget:
            self._remembered.forget(name)


def _columns(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    return {name: table.column(name).to_numpy() for name in table.column_names}
