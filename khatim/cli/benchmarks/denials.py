# SPDX-License-Identifier: Apache-2.0
"""A flood of refusals beside accepted writes, in one worker: what it costs the writes, and what the ledger hears."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khatim.cli.benchmarks.figures import Figure, Section, faster, percentile
from khatim.cli.benchmarks.installation import Installation, parts_of
from khatim.errors import Forbidden
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role

if TYPE_CHECKING:
    from audit.transaction import Ledger

SECONDS = 5.0
RATE = 10_000  # refusals a second
SIGNED_IN = 10  # one refusal in so many is of somebody who is signed in
SOURCES, ACTORS = 5_000, 50
_TICK_S = 0.01
ABOUT = Resource("version", "m00@1", "bench", "ae-onshore")


@dataclass
class Flood:
    """How many refusals there were, and how many events the ledger heard of them."""

    refused: int = 0
    told: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return the refusals a second that were really reached."""
        return self.refused / self.seconds if self.seconds else 0.0


@contextmanager
def flooding(ledger: Ledger, *, rate: int = RATE) -> Iterator[Flood]:
    """Refuse *rate* times a second in a thread of this process as long as the block lasts; then tell the counts.

    Nine in ten are strangers (as `gateway.problems` counts them), one in ten is somebody whom the transaction refuses.
    """
    flood, stop = Flood(), threading.Event()
    thread = threading.Thread(target=_refuse, args=(ledger, rate, flood, stop))
    before = time.monotonic()
    thread.start()
    try:
        yield flood
    finally:
        stop.set()
        thread.join()
        flood.seconds = time.monotonic() - before
        flood.told += ledger.refusals.flush(ledger.tell, None)


def measure(here: Installation) -> Section:
    """Measure accepted writes of one thread, alone and beside the flood."""
    parts = parts_of(here.data)
    ledger = parts.ledger
    step = _accepted(ledger)
    for number in range(50):
        step(number)
    alone = _written(step, "require, record, commit, one writer")
    with flooding(ledger) as flood:
        beside = _written(step, f"the same beside {RATE:,} refusals a second in the same process")
    parts.engine.dispose()
    note = (
        f"{flood.rate:,.0f} refusals a second reached, {flood.refused:,} in all; the ledger heard {flood.told} events "
        f"of counts and at most {ledger.refusals.per_minute} single ones a minute of each actor"
    )
    return Section(
        "Refusals in masses",
        f"One worker process, as `khatim up` runs it, writes with one thread; a second thread refuses {RATE:,} times a "
        f"second: nine in ten are strangers of {SOURCES:,} sources, who are counted, one in ten is one of {ACTORS} "
        "signed-in actors, whom the transaction refuses. Without the counts each refusal would be a transaction.",
        (alone, beside),
        (faster("accepted writes a second beside the flood ÷ without it", beside, alone),),
        (note + ".",),
    )


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


def _refuse(ledger: Ledger, rate: int, flood: Flood, stop: threading.Event) -> None:
    actors = [Actor(f"p-{number}", ActorKind.PERSON, frozenset({Role.DATA_ENGINEER})) for number in range(ACTORS)]
    numbers = itertools.count()
    began = time.monotonic()
    while not stop.wait(_TICK_S):
        # As many as are due by now: a tick that came late is made up for, as a flood would.
        due = int((time.monotonic() - began) * rate)
        for number in itertools.islice(numbers, due - flood.refused):
            if number % SIGNED_IN:
                ledger.refusals.strangers.count(f"s-{number % SOURCES}", "unauthenticated", ledger.clock())
            else:
                _refused(ledger, actors[number // SIGNED_IN % ACTORS])
        flood.refused = max(due, flood.refused)


def _refused(ledger: Ledger, actor: Actor) -> None:
    with contextlib.suppress(Forbidden), ledger.transaction(actor) as tx:
        tx.require(Action.VERSION_PROMOTE, ABOUT)
