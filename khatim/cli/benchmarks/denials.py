# SPDX-License-Identifier: Apache-2.0
"""A flood of refusals beside accepted writes, in one worker: what it costs the writes, and what the ledger hears."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khatim.cli.benchmarks.figures import Figure, Section, faster, percentile
from khatim.cli.benchmarks.installation import Installation, parts_of
from khatim.errors import Forbidden, Unavailable, VerificationFailed
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role

if TYPE_CHECKING:
    from audit.transaction import Ledger

SECONDS = 5.0
RATE = 10_000  # refusals a second
SIGNED_IN = 10  # one refusal in so many is of somebody who is signed in
SOURCES, ACTORS = 5_000, 10
_TICK_S = 0.01
ABOUT = Resource("version", "m00@1", "bench", "ae-onshore")
_KINDS = ("version.refused", "refusals.suppressed", "refusals.counted")
_ACCOUNTED = """
SELECT coalesce(sum(coalesce((convert_from(entry, 'UTF8')::jsonb -> 'event' -> 'payload' ->> 'count')::bigint, 1)), 0)
FROM ledger_entries WHERE kind = %s"""


@dataclass
class Flood:
    """How many refusals there were, of strangers and of who is signed in, and how many events told of counts."""

    strangers: int = 0
    signed_in: int = 0
    told: int = 0
    seconds: float = 0.0

    @property
    def refused(self) -> int:
        """Return all refusals."""
        return self.strangers + self.signed_in

    @property
    def rate(self) -> float:
        """Return the refusals a second that were really reached."""
        return self.refused / self.seconds if self.seconds else 0.0


@contextmanager
def flooding(ledger: Ledger, *, rate: int = RATE) -> Iterator[Flood]:
    """Refuse *rate* times a second in two threads of this process as long as the block lasts; then tell the counts.

    Nine in ten are strangers (as `gateway.problems` counts them), one in ten is somebody whom the transaction refuses.
    """
    flood, stop = Flood(), threading.Event()
    kinds = ((_strangers, rate * (SIGNED_IN - 1) // SIGNED_IN), (_signed_in, rate // SIGNED_IN))
    threads = [threading.Thread(target=_refuse, args=(kind, each, ledger, flood, stop)) for kind, each in kinds]
    before = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield flood
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        flood.seconds = time.monotonic() - before
        flood.told += ledger.refusals.flush(ledger.tell, None)


def measure(here: Installation) -> Section:
    """Measure accepted writes of one thread, alone and beside the flood; every refusal must stand in the ledger."""
    parts = parts_of(here.data)
    ledger, before = parts.ledger, _recorded(here)
    step = _accepted(ledger)
    for number in range(50):
        step(number)
    alone = _written(step, "require, record, commit, one writer")
    with flooding(ledger) as flood:
        beside = _written(step, f"the same beside {RATE:,} refusals a second in the same process")
    parts.engine.dispose()
    found = {kind: count - before[kind] for kind, count in _recorded(here).items()}
    if sum(found.values()) != flood.refused:
        raise VerificationFailed(f"{flood.refused} refusals, and the ledger says {found}")
    note = (
        f"{flood.rate:,.0f} refusals a second reached, {flood.refused:,} in all, and the ledger accounts for each: "
        f"{found['version.refused']:,} stand by themselves (at most {ledger.refusals.per_minute} a minute of each "
        f"actor), {found['refusals.suppressed']:,} suppressed and {found['refusals.counted']:,} of strangers stand as "
        f"numbers in {flood.told} events"
    )
    return Section(
        "Refusals in masses",
        f"One worker process, as `khatim up` runs it, writes with one thread; two other threads refuse {RATE:,} times "
        f"a second: nine in ten are strangers of {SOURCES:,} sources, who are counted, one in ten is one of {ACTORS} "
        "signed-in actors, whom the transaction refuses. Without the counts each refusal would be a transaction.",
        (alone, beside),
        (faster("accepted writes a second beside the flood ÷ without it", beside, alone),),
        (note + ".",),
    )


def _recorded(here: Installation) -> dict[str, int]:
    """Return how many refusals the ledger accounts for, by kind, once nothing waits to be sequenced."""
    import psycopg

    with psycopg.connect(here.database(), autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while connection.execute("SELECT 1 FROM ledger_outbox LIMIT 1").fetchone():
            if time.monotonic() > deadline:
                raise Unavailable("the sequencer does not drain the outbox")
            time.sleep(0.05)
        return {kind: int((connection.execute(_ACCOUNTED, (kind,)).fetchone() or (0,))[0]) for kind in _KINDS}


def _written(step: Callable[[int], None], what: str) -> Figure:
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        step(len(taken))
        taken.append(time.perf_counter() - began)
    return Figure(what, len(taken) / SECONDS, percentile(taken, 0.5), percentile(taken, 0.99))


def _accepted(ledger: Ledger) -> Callable[[int], None]:
    from khatim.cli.benchmarks.writers import Noted

    person = Actor("p-bench", ActorKind.PERSON, frozenset({Role.DATA_SCIENTIST}))

    def step(number: int) -> None:
        with ledger.transaction(person) as tx:
            tx.require(Action.READ, ABOUT)
            tx.record(Noted(about=str(ABOUT), namespace="flood", zone=ABOUT.zone, number=number, digest=""))

    return step


def _refuse(
    kind: Callable[[Ledger, Flood, int], None], rate: int, ledger: Ledger, flood: Flood, stop: threading.Event
) -> None:
    began, done = time.monotonic(), 0
    while not stop.wait(_TICK_S):
        # As many as are due by now: a tick that came late is made up for, as a flood would.
        due = int((time.monotonic() - began) * rate)
        for number in range(done, due):
            kind(ledger, flood, number)
            if stop.is_set():
                return
        done = due


def _strangers(ledger: Ledger, flood: Flood, number: int) -> None:
    ledger.refusals.strangers.count(f"s-{number % SOURCES}", "unauthenticated", ledger.clock())
    flood.strangers += 1


def _signed_in(ledger: Ledger, flood: Flood, number: int) -> None:
    _refused(ledger, Actor(f"p-{number % ACTORS}", ActorKind.PERSON, frozenset({Role.DATA_ENGINEER})))
    flood.signed_in += 1


def _refused(ledger: Ledger, actor: Actor) -> None:
    with contextlib.suppress(Forbidden), ledger.transaction(actor) as tx:
        tx.require(Action.VERSION_PROMOTE, ABOUT)
