# SPDX-License-Identifier: Apache-2.0
"""The agent: one process in a zone.  It pulls work over HTTPS, opens the zone's door, and never sees the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from audit.canonical import canonical
from khatim import tokens
from khatim.errors import (
    Conflict,
    KhatimError,
    Misconfigured,
    Refused,
    RevokedRefused,
    Unauthenticated,
    Unavailable,
    VerificationFailed,
)
from khatim.vocabulary import Digest
from khatim.wire import work
from policies.loading import load_formats
from registry.signing import identity
from registry.signing.signer import RemoteSigner
from runners.zone import duties
from runners.zone.cluster import run_ray_job
from runners.zone.connection import Connection, now
from runners.zone.door import build_door
from runners.zone.drift.alibi_adapter import AlibiEngine
from runners.zone.drift.schema import Engine
from runners.zone.drift.scipy_engine import ScipyEngine
from runners.zone.duties import Zone
from runners.zone.execution import RunJob
from runners.zone.hosting import Host
from runners.zone.leases import Lease
from runners.zone.revocations import Keeper
from runners.zone.serving import build_serving
from runners.zone.staples import Staples
from runners.zone.store import StoredBlob, ZoneStore
from runners.zone.trusted import Trusted, pin
from runners.zone.verification import Trust

log = logging.getLogger("khatim.runners.agent")
POLL_S = 0.25
ORDERS_S = 1.0
MAX_UPLOAD = 4 << 30
Duty = Callable[[Zone, work.Work, Callable[[], bool]], work.Outcome]
DUTIES: dict[str, Duty] = {
    "ingest": duties.ingest,
    "materialise": duties.materialise,
    "train": duties.train,
    "scan": duties.scan,
    "evaluate": duties.evaluate,
}


@dataclass(frozen=True)
class Plan:
    """How an agent is started."""

    server: str
    folder: Path
    name: str = "agent"
    host: str = "127.0.0.1"
    port: int = 0
    enrol_token: str = ""
    alibi_python: Path | None = None
    run_job: RunJob = run_ray_job
    capacity_bytes: int | None = None


class Agent:
    """The parts of a running agent."""

    def __init__(self, plan: Plan) -> None:
        """Take the port, enrol when needed, open the store; nothing works yet.

        An enrolled agent starts without its registry, from what it keeps; it goes on asking for it.  Raises
        `Misconfigured` when what it keeps does not verify.
        """
        plan.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stop = threading.Event()
        self._plan = plan
        self.connection = Connection(plan.server, plan.folder)
        self._config = uvicorn.Config(
            Starlette(), host=plan.host, port=plan.port, log_level="warning", access_log=False, server_header=False
        )
        self._socket = self._config.bind_socket()
        self.url = f"http://{plan.host}:{self._socket.getsockname()[1]}"
        if not self.connection.is_enrolled:
            if not plan.enrol_token:
                raise Misconfigured("this agent is not enrolled", advice="khatim agent invite, then --enrol-token.")
            self.connection.enrol(plan.enrol_token, plan.name, self.url)
            pin(plan.folder, self.connection.identity)
        me = self.connection.identity
        self._trusted = Trusted(plan.folder, me.instance)
        self._keeper = Keeper(plan.folder, lambda: self._trusted.root, me.instance)
        self._staples = Staples(plan.folder, lambda: self._trusted.root, instance=me.instance, zone=me.zone, wall=now)
        self._is_met = False
        try:
            self._meet()
        except Unavailable as away:
            log.warning("%s; starting from what is kept, %s.", away.detail, self._keeper)
        self._halted, self._pauses = dict[str, str](), list[tuple[str, work.Paused]]()
        self._key = tokens.public_key(me.token_key)
        store = ZoneStore.ensure(plan.folder / "store", me.zone, capacity_bytes=plan.capacity_bytes)
        self.zone = Zone(
            name=me.zone,
            agent=identity.agent(me.instance, me.zone, me.agent.removeprefix("agent:")),
            store=store,
            signer=RemoteSigner(self.connection.http, self.connection.token, prove=self.connection.prove),
            formats=load_formats(),
            run_job=plan.run_job,
            scratch=plan.folder / "scratch",
            clock=now,
        )
        self.host = Host(
            self.zone,
            plan.folder / "deployments",
            lambda: Trust(self._trusted.root, me.instance, me.issuer, self._keeper.book),
            self.connection.dossier,
            self._staples,
            self.url,
        )
        self._config.app = self._application()

    def run(self) -> None:
        """Work until stopped by a signal."""
        loops = [
            threading.Thread(target=self._forever, args=(step, pause), daemon=True)
            for step, pause in ((self._work_once, POLL_S), (self._orders_once, ORDERS_S))
        ]
        if self._is_met:
            self.host.restore()
        else:
            self.host.restore_alone(may_serve=self._keeper.number >= 0)
        for loop in loops:
            loop.start()
        try:
            uvicorn.Server(self._config).run([self._socket])
        finally:
            self._stop.set()
            self.host.close()
            self.connection.close()

    def _meet(self) -> None:
        """Learn at the registry who this agent is and what it believes; before that it starts nothing new."""
        self.connection.open(self.url)
        self._trusted.take(self.connection.trust(self._trusted.number))
        self._keeper.take(self.connection.revocations())
        self._is_met = True

    def engines(self) -> Sequence[Engine]:
        """Return the drift engines at hand; alibi-detect has an environment of its own and may be absent."""
        python = self._plan.alibi_python
        return [ScipyEngine(), *([AlibiEngine(python)] if python and python.exists() else [])]

    def _application(self) -> Starlette:
        door = build_door(
            self.zone.store,
            zone=self.zone.name,
            ticket_keys=[self._key],
            on_stored=self._stored,
            on_read=lambda _digest, _claims: None,
            clock=now,
            max_size=MAX_UPLOAD,
        )
        serving = build_serving(self.host.endpoints)
        return Starlette(routes=[*serving.routes, Mount("/", door)], exception_handlers=serving.exception_handlers)

    def _stored(self, blob: StoredBlob, claims: Mapping[str, Any]) -> None:
        self.connection.placed(work.Placed(digest=str(blob.digest), size=blob.size, ticket=str(claims["ticket"])))

    def _forever(self, step: Callable[[], bool], pause: float) -> None:
        """Repeat *step*; a registry that is away is waited for, other failures are logged and do not end the loop."""
        while not self._stop.is_set():
            busy = False
            try:
                busy = step()
            except Unavailable as error:
                log.warning("%s", error.detail)
                self._stop.wait(1)
            except Unauthenticated as error:
                log.warning("the registry does not know this agent any more: %s", error.detail)
                self._stop.wait(5)
            except Exception:
                log.exception("an agent's step failed")
                self._stop.wait(1)
            if not busy:
                self._stop.wait(pause)

    def _orders_once(self) -> bool:
        try:
            if not self._is_met:
                self._meet()
            orders = self.connection.orders()
            self._staples.hear(orders.at)
            self.host.obey(orders)
            self._learn_trust(orders)
            if self._keeper.is_due(orders, now()):
                self._keeper.take(self.connection.revocations())
            if self._staples.is_due(orders):  # last: a rotated authority signs what only the newer root verifies
                self._staples.take(self.connection.status())
            self._halted.update(self.host.catch_up())
        finally:  # what is known holds, whether or not more could be learnt
            self._halted.update(self.host.enforce())
            self._pauses += self.host.pauses()
            self._staples.remember()
        while self._pauses:
            self.connection.paused(*self._pauses[0])
            del self._pauses[0]
        for deployment, because in list(self._halted.items()):
            self.connection.halted(deployment, because, self._keeper.number)
            del self._halted[deployment]
        return False

    def _learn_trust(self, orders: work.Orders) -> None:
        """Follow a rotation; when that fails, orders and revocations must go on reaching this agent all the same."""
        if not self._trusted.is_due(orders):
            return
        try:
            self._trusted.take(self.connection.trust(self._trusted.number))
        except KhatimError as wrong:
            log.error("the newer trusted root is not taken: %s %s", wrong.detail, wrong.advice)  # noqa: TRY400 - expected

    def _work_once(self) -> bool:
        job = self.connection.claim() if self._is_met else None
        if job is None:
            return False
        began = time.monotonic()
        try:
            self._check_envelope(job)
            self._keeper.require_usable(job.spec, now())
            with Lease(self.connection, job) as lease:
                outcome = self._do(job, lambda: lease.alive() and self._keeper.allows(job.spec, now()).holds)
            self._keeper.require_usable(job.spec, now())
            self.connection.complete(job.id, job.fence, outcome)
        except Conflict as error:  # another agent holds the job by now, or it was cancelled
            log.warning("job %s was given up: %s", job.id, error.detail)
        except KhatimError as error:
            why = self._why(job, error)
            log.warning("job %s (%s) failed: %s", job.id, job.kind, why.detail)
            self._fail(job, why)
        except Exception as error:
            log.exception("job %s (%s) failed", job.id, job.kind)
            self._fail(job, KhatimError(f"the agent failed: {type(error).__name__}: {str(error)[:500]}"))
        log.info("job %s (%s) took %.1f s", job.id, job.kind, time.monotonic() - began)
        return True

    def _why(self, job: work.Work, error: KhatimError) -> KhatimError:
        """Return why a job failed: a revocation that broke it off, rather than what breaking it off looked like."""
        try:
            self._keeper.require_usable(job.spec, now())
        except RevokedRefused as revoked:
            return revoked
        return error

    def _do(self, job: work.Work, alive: Callable[[], bool]) -> work.Outcome:
        match job.kind:
            case "deploy":
                self._keeper.require_fresh(now())
                # What is about to be verified may have been signed a moment after a rotation.
                self._trusted.take(self.connection.trust(self._trusted.number))
                return self.host.deploy(job)
            case "monitor":
                return self.host.monitor(job, self.engines())
            case _ if job.kind in DUTIES:
                return DUTIES[job.kind](self.zone, job, alive)
            case _:
                raise Misconfigured(f"this agent cannot do jobs of the kind {job.kind!r}")

    def _check_envelope(self, job: work.Work) -> None:
        """Refuse work that the registry's key did not sign for this zone, this fence and this very specification."""
        claims = tokens.read(job.envelope, self._key, audience=f"zone:{self.zone.name}", at=now(), kind="job")
        said = {
            "sub": job.id,
            "job_kind": job.kind,
            "fence": job.fence,
            "spec": str(Digest.of(canonical(job.spec))),
            "agent": self.connection.identity.agent,
        }
        if wrong := sorted(key for key, value in said.items() if claims.get(key) != value):
            raise VerificationFailed(f"the envelope of job {job.id} does not match: {', '.join(wrong)}")

    def _fail(self, job: work.Work, error: KhatimError) -> None:
        retry = isinstance(error, Unavailable) and not isinstance(error, Refused)
        try:
            self.connection.fail(job.id, job.fence, error, retry=retry)
        except Conflict as stale:
            log.warning("job %s was given up: %s", job.id, stale.detail)
