# SPDX-License-Identifier: Apache-2.0
"""The ledger: how fast events are appended, how soon they are chained and signed, how fast a backlog drains."""

from __future__ import annotations

import time
from typing import Any

from khatim.cli.benchmarks import processes
from khatim.cli.benchmarks.figures import Figure, Section, faster, percentile
from khatim.cli.benchmarks.installation import Installation
from khatim.errors import Unavailable

SECONDS = 4.0
WRITERS = 8
BACKLOG = 20_000
_PROCESSES = 2
_PREPARE = (
    "CREATE TABLE IF NOT EXISTS bench_plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea)",
    "CREATE TABLE IF NOT EXISTS bench_chain (index bigint PRIMARY KEY, prev bytea, hash bytea, body bytea)",
    "GRANT SELECT, INSERT ON bench_plain, bench_chain TO khatim_service",
)
_LAG = """
SELECT extract(epoch FROM signed.at - said.at)
FROM ledger_entries said
CROSS JOIN LATERAL (SELECT at FROM ledger_checkpoints WHERE size > said.index ORDER BY size LIMIT 1) signed
WHERE said.kind = 'benchmark.noted' AND said.namespace = %s"""


def measure(here: Installation) -> Section:
    """Measure with eight writers in two processes, against the server's own sequencer process."""
    import psycopg

    with psycopg.connect(here.database("khatim_owner"), autocommit=True) as owner:
        for statement in _PREPARE:
            owner.execute(statement)
    governed = _written(here, "transaction", f"require, record, commit, {WRITERS} writers")
    lag = _lag(here, "transaction")
    bare = _written(here, "outbox", f"insert into the outbox and commit, {WRITERS} writers")
    bare_lag = _lag(here, "outbox")
    plain = _written(here, "plain", f"*anchor:* insert into a plain table and commit, {WRITERS} writers")
    chained = _written(here, "chain", f"*anchor:* chain under a lock held to commit, {WRITERS} writers")
    drained = _drain()
    return Section(
        "Ledger append",
        f"{WRITERS} writers in {_PROCESSES} processes append events of about 300 bytes to the embedded PostgreSQL of "
        "the running server, each waiting for its commit. The first row is the mechanism that every verb uses "
        "(`audit.transaction`), the second only what the database has to do for it. The sequencer is the server's own "
        "process and chains, hashes and signs meanwhile. The lag is counted for every event, from the moment that "
        "stands in it (the start of its transaction) to the signature of the checkpoint that covers it. The anchors "
        "insert the same bytes: into a plain table without any audit, and into a table whose hash chain is computed "
        "under a lock that is held until the commit, which is how audit logs are usually chained.",
        (governed, lag, bare, bare_lag, plain, chained, drained),
        (
            faster("outbox appends a second ÷ those with a chain lock held to commit", bare, chained),
            faster("outbox appends a second ÷ plain inserts without any audit", bare, plain),
        ),
        ("The chain-lock anchor has no tiles, no checkpoints and no signature; the outbox row includes them.",),
    )


def _written(here: Installation, mode: str, what: str) -> Figure:
    plan = {"data": str(here.data), "database": here.database(), "mode": mode, "seconds": SECONDS}
    plan["writers"] = WRITERS // _PROCESSES
    found = processes.side_by_side("writers", [plan] * _PROCESSES)
    taken = [one for answer in found for one in answer["taken"]]
    return Figure(what, len(taken) / SECONDS, percentile(taken, 0.5), percentile(taken, 0.99))


def _lag(here: Installation, mode: str) -> Figure:
    import psycopg

    with psycopg.connect(here.database(), autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while _first(connection.execute("SELECT count(*) FROM ledger_outbox")):
            if time.monotonic() > deadline:
                raise Unavailable("the sequencer does not drain the outbox")
            time.sleep(0.05)
        lags = [float(row[0]) for row in connection.execute(_LAG, (mode,))]
    return Figure(
        "… until chained and covered by a signed checkpoint", None, percentile(lags, 0.5), percentile(lags, 0.99)
    )


def _drain() -> Figure:
    """Time a sequencer on a backlog in a database of its own."""
    import psycopg
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from audit.checkpoint import NoteSigner
    from audit.sequencer import Sequencer
    from gateway import schema, scratch
    from khatim.cli.benchmarks.writers import event_body

    signer = NoteSigner("ledger.bench.khatim", Ed25519PrivateKey.generate())
    with scratch.database() as embedded:
        schema.migrate(embedded.url("khatim_owner"))
        with (
            psycopg.connect(embedded.url("khatim_service")) as connection,
            connection.cursor().copy("COPY ledger_outbox (body) FROM STDIN") as copy,
        ):
            for number in range(BACKLOG):
                copy.write_row((event_body("drain", number),))
        sequencer = Sequencer(embedded.url("khatim_sequencer"), signer.name, signer)
        began = time.perf_counter()
        while sequencer.run_once():
            pass
        taken = time.perf_counter() - began
        sequencer.close()
    note = f"{BACKLOG:,} waiting events in batches of 1,000"
    return Figure("sequence a backlog: index, chain, tiles, checkpoint, commit", BACKLOG / taken, note=note)


def _first(cursor: Any) -> Any:
    return cursor.fetchone()[0]
