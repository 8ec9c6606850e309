# SPDX-License-Identifier: Apache-2.0
"""A process of writers: each appends events one after the other and waits for every commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from audit.canonical import canonical
from audit.events import Event, moment
from khatim.cli.benchmarks import processes
from khatim.cli.benchmarks.installation import ZONE, parts_of
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Nothing happened; the benchmark says so."""

    kind: ClassVar[str] = "benchmark.noted"
    number: int
    digest: str


def event_body(mode: str, number: int) -> bytes:
    """Return the body of such an event as `audit.transaction` would make it."""
    digest = sha256(f"{mode} {number}".encode()).hexdigest()
    return canonical(
        {
            "actor": "p-bench",
            "at": moment(datetime.now(UTC)),
            "entity": "local",
            "kind": Noted.kind,
            "namespace": mode,
            "payload": {"digest": f"sha256:{digest}", "number": number},
            "resource": f"version:bench/m00@{number % 4 + 1}",
            "version": 1,
            "zone": ZONE,
        }
    )


def through_the_transaction(plan: dict[str, Any]) -> Callable[[int], None]:
    """Return a step that appends as every verb does."""
    ledger = parts_of(Path(plan["data"])).ledger
    person = Actor("p-bench", ActorKind.PERSON, frozenset({Role.DATA_SCIENTIST}))
    about = Resource("version", "m00@1", "bench", ZONE)

    def step(number: int) -> None:
        digest = f"sha256:{sha256(str(number).encode()).hexdigest()}"
        with ledger.transaction(person) as tx:
            tx.require(Action.READ, about)
            tx.record(Noted(about=str(about), namespace="transaction", zone=ZONE, number=number, digest=digest))

    return step


def main() -> None:
    """Write as the plan says and print how long each append took."""
    plan = processes.told()
    step = through_the_transaction(plan)
    taken: list[list[float]] = [[] for _ in range(plan["writers"])]
    gate = threading.Barrier(plan["writers"])

    def write(mine: list[float], first: int) -> None:
        for number in range(5):
            step(first + number)
        gate.wait()
        until = time.perf_counter() + plan["seconds"]
        number = first + 5
        while (began := time.perf_counter()) < until:
            step(number)
            mine.append(time.perf_counter() - began)
            number += 1

    threads = [
        threading.Thread(target=write, args=(mine, 1_000_000 * place), daemon=True) for place, mine in enumerate(taken)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    processes.answer({"taken": [one for mine in taken for one in mine]})


if __name__ == "__main__":
    main()
