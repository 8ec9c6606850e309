# SPDX-License-Identifier: Apache-2.0
"""A registry in this process and the story of one model, as far as a test needs it.

Every step of the story goes through the public routes, with real signatures.  A step is told once: the database after
it is kept, and each test gets a copy.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any

import httpx
import psycopg
from anyio.from_thread import BlockingPortal
from fastapi import APIRouter, FastAPI
from sqlalchemy import Engine

from audit.clock import ClockGuard
from audit.sequencer import Sequencer
from gateway import app, composition
from gateway.composition import Parts
from gateway.policy_following import Keeper
from gateway.sign_in import Authenticator
from gateway.standings import Standings
from governance import sweeping
from khatim import tokens
from khatim.settings import Settings
from khatim.vocabulary import JobKind
from registry.signing import possession
from registry.signing.desk import LocalOffice
from registry.signing.journal import Journal
from registry.signing.office import OfficeSigner
from registry.signing.pens import Pen
from registry.signing.signer import LocalSigner, Signer
from runners.agents import AUDIENCE
from tests.support.agents import FEATURES, HandAgent, digest, key_of
from tests.support.http import BASE, Api, InProcess, good
from tests.support.people import APPROVERS, DANA, EVERYBODY, PAVEL, PETRA, SAMI, VERA, Person
from tests.support.postgres import MIGRATED, Postgres

Json = dict[str, Any]
ZONE, ONSHORE, ABROAD = "ae-health", "ae-onshore", "ext-de"
DATASET, VIEW, MODEL = "oncology/wdbc@1", "oncology/cell-shape@1", "oncology/malignancy"
VERSION = f"/v1/models/{MODEL}/versions/1"
PURPOSE, CODE = "malignancy triage", digest("code")
DEMO = Path(__file__).parents[2] / "policies" / "overlays" / "demo"
COLUMNS: list[Json] = [
    {"name": "patient", "type": "string"},
    *({"name": name, "type": "float64", "minimum": 0} for name in FEATURES),
    {"name": "malignant", "type": "int64", "allowed": [0, 1]},
]
CONTRACT: Json = {"columns": COLUMNS, "key": ["patient"], "tags": ["health.ae"]}
SPEC: Json = {
    "entity": "patient",
    "features": [{"name": name, "source": name} for name in FEATURES],
    "label": "malignant",
}


class Step(IntEnum):
    """How far the story has come."""

    EMPTY = 0
    ENROLLED = 1  # an agent works in the zone
    DATA = 2  # a dataset version and a feature view version are registered
    AUTHORISED = 3  # a training authorisation is approved
    READY = 4  # a version is trained and scanned
    EVALUATED = 5
    APPROVED = 6  # by validator, privacy officer and model risk approver
    PRODUCTION = 7
    SERVING = 8  # in its own zone


class Clock:
    """The time of a world: the machine's, moved on by what a test says."""

    def __init__(self) -> None:
        """Start now."""
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Return the moment in this world."""
        return datetime.now(UTC) + self._ahead

    def far(self) -> datetime:
        """Return a moment that no test lives to see."""
        return self() + timedelta(days=3650)

    def forward(self, **by: float) -> None:
        """Move on, by the arguments of `timedelta`."""
        self._ahead += timedelta(**by)


@dataclass
class Memory:
    """What a world must remember of its own story."""

    agent: str = ""
    authorisation: str = ""
    deployment: str = ""


@dataclass
class World:
    """One registry with a database of its own."""

    parts: Parts
    clock: Clock
    http: httpx.Client
    postgres: Postgres
    database: str
    memory: Memory
    app: FastAPI
    _seen: int = field(default=0)

    # -- callers --

    def as_(self, person: Person) -> Api:
        """Return the API as *person* sees it."""
        return Api(self.http, lambda: self.token(person))

    def token(self, person: Person, **ttl: float) -> str:
        """Return a bearer token of *person*, for an hour unless *ttl* says otherwise."""
        life = timedelta(**ttl) if ttl else timedelta(hours=1)
        return self.parts.local_tokens.access(person.ref, person.name, person.roles, at=self.clock(), ttl=life)

    def nobody(self) -> Api:
        """Return the API as somebody without credentials sees it."""
        return Api(self.http, None)

    def bearer(self, token: str) -> Api:
        """Return the API for the bearer of *token*."""
        return Api(self.http, lambda: token)

    @property
    def agent(self) -> HandAgent:
        """The agent of the story."""
        return self.agent_of(self.memory.agent)

    def agent_of(self, ref: str, zone: str = ZONE) -> HandAgent:
        """Return the agent *ref* of *zone*, played by hand."""
        api = Api(self.http, lambda: self.agent_token(ref, zone))
        return HandAgent(api, self.parts.notary, ref, zone, self.clock, key_of(ref))

    def proof(self, voucher: str) -> str:
        """Return the proof that goes with an enrolment, by the key of the agent that *voucher* makes."""
        claims = tokens.read(
            voucher,
            self.parts.issuer.key.public_key(),
            audience=AUDIENCE,
            at=self.clock(),
            kind="enrolment",
            grace=timedelta(days=2),  # the registry judges whether it is over
        )
        return possession.prove_enrolment(key_of(f"agent:{claims['jti']}"), voucher, self.clock())

    def agent_token(self, ref: str, zone: str = ZONE, **ttl: float) -> str:
        """Return an identity token such as an agent holds after each renewal."""
        return tokens.issue(
            self.parts.issuer.key,
            kind="agent",
            subject=ref,
            audience=AUDIENCE,
            issuer=self.parts.issuer.issuer,
            at=self.clock(),
            ttl=timedelta(**ttl) if ttl else timedelta(minutes=15),
            zone=zone,
        )

    # -- what the ledger hears --

    def told(self) -> list[Json]:
        """Return the events recorded since the last call (or since the world began), oldest first."""
        # One statement, one snapshot: an event is moving from the outbox into the ledger at this very moment.
        rows = self.sql(
            'SELECT 0, "index", convert_from(entry, \'UTF8\') FROM ledger_entries WHERE "index" > 0 '
            "UNION ALL SELECT 1, id, convert_from(body, 'UTF8') FROM ledger_outbox ORDER BY 1, 2"
        )
        events = [json.loads(text) if waits else json.loads(text)["event"] for waits, _, text in rows]
        news, self._seen = events[self._seen :], len(events)
        return news

    def kinds(self) -> list[str]:
        """Return the kinds of `told`."""
        return [str(event["kind"]) for event in self.told()]

    def refusals(self) -> list[Json]:
        """Return those events of `told` in which a rule said no."""
        return [event for event in self.told() if str(event["kind"]).endswith(".refused")]

    def follow(self) -> bool:
        """Let the worker come to the rules in force, as it does each second; return whether they are others."""
        keeper: Keeper = self.app.state.keeper
        is_other = keeper.refresh()
        keeper.tell()
        self.parts = keeper.parts
        return is_other

    def sweep(self) -> int:
        """End what has run out, as a worker does each minute; return how much."""
        return sweeping.sweep(self.parts.ledger, self.parts.notary, self.parts.rules)

    def sequence(self) -> int:
        """Let every waiting event take its place in the ledger; return how many there were."""
        signer = composition.ledger_signer(self.parts.settings, self.parts.instance)
        sequencer = Sequencer(self.url("khatim_sequencer"), signer.name, signer)
        total = 0
        try:
            while taken := sequencer.run_once():
                total += taken
        finally:
            sequencer.close()
        return total

    @contextmanager
    def sequencing(self) -> Iterator[None]:
        """Let events take their place in the ledger as they come, as beside a running server."""
        signer = composition.ledger_signer(self.parts.settings, self.parts.instance)
        stop = threading.Event()
        thread = threading.Thread(target=Sequencer(self.url("khatim_sequencer"), signer.name, signer).run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    # -- beneath --

    def url(self, role: str = "postgres") -> str:
        """Return the database's address for *role*."""
        return self.postgres.embedded.url(role, self.database)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database itself, as its superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def expire_leases(self) -> None:
        """Let every lease have run out a minute ago, by the database's clock."""
        self.sql("UPDATE leases SET lease_until = now() - interval '1 minute'")

    def together(self, *callers: Callable[[], httpx.Response]) -> list[httpx.Response]:
        """Call all at the same time, each in a thread of its own."""
        answers: list[httpx.Response | None] = [None] * len(callers)
        gate = threading.Barrier(len(callers))

        def run(number: int) -> None:
            gate.wait()
            answers[number] = callers[number]()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(callers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [answer for answer in answers if answer is not None]

    # -- the story, in steps --

    def invite(self, zone: str = ZONE, ttl_s: int = 600) -> str:
        """Return a one-time enrolment token."""
        return str(good(self.as_(PAVEL).post("/v1/agents/invitations", {"zone": zone, "ttl_s": ttl_s}))["token"])

    def enrol(self, zone: str = ZONE) -> HandAgent:
        """Enrol an agent."""
        voucher = self.invite(zone)
        body = {"name": f"agent of {zone}", "door": "http://127.0.0.1:9", "proof": self.proof(voucher)}
        identity = good(self.bearer(voucher).post("/v1/agent/enrolment", body))
        return self.agent_of(identity["agent"], zone)

    def place(self, *words: object, tags: Sequence[str] = ("health.ae",), size: int = 100, by: Person = SAMI) -> str:
        """Bring made-up bytes into the zone; return their digest."""
        body = {"zone": ZONE, "digest": digest(*words), "size": size, "tags": list(tags)}
        ticket = good(self.as_(by).post("/v1/uploads", body))
        good(self.agent.report(ticket, size=size))
        return str(ticket["digest"])

    def ingest(self) -> None:
        """Register a dataset version and a feature view version."""
        source = self.place("wdbc.csv", by=DANA)
        body = {"zone": ZONE, "source": source, "contract": CONTRACT}
        good(self.as_(DANA).post("/v1/datasets/oncology/wdbc/versions", body))
        self.agent.do(JobKind.INGEST)
        good(self.as_(SAMI).post("/v1/features/cell-shape/versions", {"dataset": DATASET, "spec": SPEC}))
        self.agent.do(JobKind.MATERIALISE)

    def terms(self, **changes: Any) -> Json:
        """Return the terms of the story's training authorisation."""
        ends = self.clock() + timedelta(days=30)
        terms = {
            "namespace": "oncology", "datasets": [DATASET], "purpose": PURPOSE, "code_digest": CODE, "zone": ZONE,
            "budget_runs": 3, "ends_at": ends.isoformat(),
        }  # fmt: skip
        return {**terms, **changes}

    def authorise(self, **changes: Any) -> str:
        """Return the id of an approved training authorisation."""
        asked = good(self.as_(SAMI).post("/v1/authorisations", self.terms(**changes)))
        good(self.as_(PETRA).post(f"/v1/authorisations/{asked['id']}/approval", {"because": "the purpose fits"}))
        return str(asked["id"])

    def training(self, **changes: Any) -> Json:
        """Return the body of a training inside the authorisation."""
        run = {"features": VIEW, "model": MODEL, "purpose": PURPOSE, "code_digest": CODE}
        return {"authorisation": self.memory.authorisation, **run, **changes}

    def train(self) -> None:
        """Train and scan a version."""
        good(self.as_(SAMI).post("/v1/trainings", self.training()))
        self.agent.do(JobKind.TRAIN)
        self.agent.do(JobKind.SCAN)

    def evaluate(self, version: str = VERSION) -> None:
        """Evaluate a version."""
        good(self.as_(VERA).post(f"{version}/evaluations"))
        self.agent.do(JobKind.EVALUATE)

    def approve(self, version: str = VERSION) -> None:
        """Let everybody approve whose approval is asked for."""
        for approver, role in APPROVERS:
            body = {"role": role.value, "meaning": "approved for triage"}
            good(self.as_(approver).post(f"{version}/approvals", body))

    def promote(self, version: str = VERSION) -> None:
        """Promote a version to production."""
        good(self.as_(SAMI).post(f"{version}/promotions", {"to": "production", "because": "all approvals are in"}))

    def deploy(self, version: str = f"{MODEL}@1") -> str:
        """Serve a version in its zone; return the deployment's id."""
        asked = good(self.as_(PAVEL).post("/v1/deployments", {"version": version, "zone": ZONE}))
        self.agent.do(JobKind.DEPLOY)
        return str(asked["id"])

    def arrive(self) -> None:
        """Let everybody be known, and enrol the agent of the story."""
        for person in EVERYBODY:
            good(self.as_(person).get("/v1/whoami"))
        self.memory.agent = self.enrol().ref

    def tell(self, step: Step) -> None:
        """Tell one step of the story."""
        steps: dict[Step, Callable[[], None]] = {
            Step.ENROLLED: self.arrive,
            Step.DATA: self.ingest,
            Step.AUTHORISED: self._authorise,
            Step.READY: self.train,
            Step.EVALUATED: self.evaluate,
            Step.APPROVED: self.approve,
            Step.PRODUCTION: self.promote,
            Step.SERVING: self._serve,
        }
        steps[step]()

    def _authorise(self) -> None:
        self.memory.authorisation = self.authorise()

    def _serve(self) -> None:
        self.memory.deployment = self.deploy()


class Worlds:
    """Worlds at any step of the story.  A step is told when it is first asked for, and kept as a template."""

    def __init__(self, postgres: Postgres, portal: BlockingPortal, folder: Path) -> None:
        """Keep the keys of all worlds in *folder*: their databases differ, their authority is one."""
        self._postgres = postgres
        self._portal = portal
        self._folder = folder
        self._built: dict[Settings, Parts] = {}
        self._numbers = itertools.count()
        self._router: APIRouter | None = None
        self._kept: dict[tuple[Path | None, Step], tuple[str, Memory]] = {}

    @contextmanager
    def at(self, step: Step, policies: Path | None = None, **settings: Any) -> Iterator[World]:
        """Open a world in which *step* was told under the policy overlay *policies*."""
        template, memory = self._template(step, policies)
        database = self._postgres.copy(template)
        try:
            with self._open(database, policies, Memory(**vars(memory)), settings) as world:
                yield world
        finally:
            self._postgres.drop(database)

    def _template(self, step: Step, policies: Path | None) -> tuple[str, Memory]:
        if step is Step.EMPTY:
            return MIGRATED, Memory()
        if (policies, step) not in self._kept:
            before, memory = self._template(Step(step - 1), policies)
            database = self._postgres.copy(before)
            with self._open(database, policies, Memory(**vars(memory)), {}) as world:
                world.tell(step)
            self._kept[policies, step] = database, world.memory
        return self._kept[policies, step]

    @contextmanager
    def _open(self, database: str, policies: Path | None, memory: Memory, settings: Json) -> Iterator[World]:
        clock = Clock()
        engine = self._postgres.engine(database)
        parts = self._parts(engine, clock, policies, settings)
        mounted = self._mounted(parts)
        transport = InProcess(mounted, self._portal)
        try:
            with httpx.Client(transport=transport, base_url=BASE) as http:
                world = World(parts, clock, http, self._postgres, database, memory, mounted)
                world.told()  # what the template told is not news
                yield world
        finally:
            engine.dispose()
            if isinstance(parts.office, LocalOffice):
                parts.office.journal.close()

    def _mounted(self, parts: Parts) -> FastAPI:
        """Return the application; FastAPI reads the routes at the first request, which is done once for all worlds."""
        made = app.create(parts)
        self._router = self._router or made.router
        made.router = self._router
        return made

    def _parts(self, engine: Engine, clock: Clock, policies: Path | None, settings: Json) -> Parts:
        """Return the parts of a server; reading the policies takes longest and is done once for all worlds."""
        told = Settings(data=self._folder, instance="test", entity="tests", policies=policies, **settings)
        if told not in self._built:
            self._built[told] = composition.build(told, engine=engine, clock=clock)
        built = self._built[told]
        ledger = composition.ledger_of(told, engine, built.rules, clock)
        office = self._office(built, clock)

        # The pen of a world signs for its agents, too, which they do themselves in a real one.
        def signer_for(who: str) -> Signer:
            mine = LocalSigner(office.authority, who, built.issuer.issuer, clock)
            return mine if office.pen == Pen() or "/agent/" in who else OfficeSigner(office, who)

        pen = replace(built.notary, signer_for=signer_for)
        guard = Authenticator(
            told, ledger, built.issuer.key, clock, built.vault, Standings(ledger, pen),
            provider=built.authenticator.provider, rules=built.rules.sign_in,
        )  # fmt: skip
        return replace(built, engine=engine, ledger=ledger, notary=pen, authenticator=guard, office=office)

    def _office(self, built: Parts, clock: Clock) -> LocalOffice:
        """Return the office with the clock of this world, which tests may set, and a log of its own."""
        shared = built.office
        assert isinstance(shared, LocalOffice)

        def seconds() -> float:
            return clock().timestamp()

        guard = ClockGuard(clock, running=seconds, booted=seconds)
        journal = Journal(self._folder / f"signer-{next(self._numbers)}.jsonl")
        return replace(shared, clock=clock, guard=guard, journal=journal)
