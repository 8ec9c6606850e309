# SPDX-License-Identifier: Apache-2.0
"""The ledger: how fast events are appended, how soon they are chained and signed, how fast a backlog drains."""

from __future__ import annotations

import time
from typing import Any

from khatim.cli.benchmarks import load, processes
from khatim.cli.benchmarks.figures import Figure, Section, faster, percentile
from khatim.cli.benchmarks.installation import Installation
from khatim.errors import Unavailable

SECONDS = 4
WRITERS = (8, 16)
BACKLOG = 20_000
_PROCESSES = 2
# The body is made in the database, as the events of verbs are: with its own moment, about 300 bytes.
_PREPARE = (
    "CREATE TABLE bench_work (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea)",
    "CREATE TABLE bench_chain (index bigint PRIMARY KEY, prev bytea, hash bytea, body bytea)",
    r"INSERT INTO bench_chain VALUES (0, '\x00', '\x00', '\x00')",
    """CREATE FUNCTION bench_body(mode text, number int) RETURNS bytea LANGUAGE sql AS $$
SELECT convert_to(format('{"actor":"p-bench","at":"%s","entity":"local","kind":"benchmark.noted","namespace":"%s",'
    '"payload":{"digest":"sha256:%s","number":%s},"resource":"version:bench/m00@1","version":1,"zone":"ae-onshore"}',
    to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), mode,
    encode(sha256(number::text::bytea), 'hex'), number), 'UTF8') $$""",
    """CREATE FUNCTION bench_append(entry bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE last record;
BEGIN
    PERFORM pg_advisory_xact_lock(7);
    SELECT c.index, c.hash INTO last FROM bench_chain c ORDER BY c.index DESC LIMIT 1;
    INSERT INTO bench_chain VALUES (last.index + 1, last.hash, sha256(last.hash || entry), entry);
    RETURN last.index + 1;
END $$""",
    "GRANT SELECT, INSERT ON bench_work, bench_chain TO khatim_service",
)
_SCRIPT = """\\set number random(1, 1000000)
BEGIN;
INSERT INTO bench_work (body) VALUES (bench_body('{mode}', :number));
{audit}END;
"""
_AUDITS = {
    "plain": "",
    "outbox": "INSERT INTO ledger_outbox (body) VALUES (bench_body('{mode}', :number));\n",
    "function": "SELECT bench_append(bench_body('{mode}', :number));\n",
    "chain": """SELECT pg_advisory_xact_lock(7);
SELECT index AS last, encode(hash, 'hex') AS hash FROM bench_chain ORDER BY index DESC LIMIT 1 \\gset
INSERT INTO bench_chain SELECT :last + 1, decode(:hash, 'hex'), sha256(decode(:hash, 'hex') || made), made
    FROM bench_body('{mode}', :number) AS made;
""",
}
_LAG = """
SELECT extract(epoch FROM signed.at - said.at)
FROM ledger_entries said
CROSS JOIN LATERAL (SELECT at FROM ledger_checkpoints WHERE size > said.index ORDER BY size LIMIT 1) signed
WHERE said.kind = 'benchmark.noted' AND said.namespace = %s"""


def measure(here: Installation) -> Section:
    """Measure with 8 and 16 writers, against the server's own sequencer process."""
    import psycopg

    with psycopg.connect(here.database("khatim_owner"), autocommit=True) as owner:
        for statement in _PREPARE:
            owner.execute(statement)
    figures: list[Figure] = [_through_verbs(here, 8), _lag(here, "transaction")]
    ratios = []
    for writers in WRITERS:
        ours = _written(here, "outbox", f"change and outbox row, {writers} writers", writers)
        lag = _lag(here, f"outbox-{writers}")
        chained = _written(
            here, "chain", f"*anchor:* change, chain lock, read, hash, insert, {writers} writers", writers
        )
        one = _written(here, "function", f"*anchor:* the same in one stored procedure, {writers} writers", writers)
        plain = _written(here, "plain", f"*anchor:* the change alone, unaudited, {writers} writers", writers)
        figures += [ours, lag, chained, one, plain]
        ratios += [
            faster(f"appends a second ÷ those under a chain lock held to commit, {writers} writers", ours, chained),
            faster(f"… ÷ those under the lock in a stored procedure, {writers} writers", ours, one),
            faster(f"… ÷ the same change without any audit, {writers} writers", ours, plain),
        ]
    return Section(
        "Ledger append",
        "Transactions of one change and one event of about 300 bytes, each waiting for its commit, on the embedded "
        "PostgreSQL of the running server. The first row is the mechanism that every verb uses (`audit.transaction`), "
        f"from {_PROCESSES} Python processes without a change; the others are driven by PostgreSQL's own pgbench, so "
        "that the database is measured and not its client. The sequencer is the server's own process and chains, "
        "hashes and signs meanwhile. The lag is counted for every event, from the moment that stands in it (before its "
        "commit) to the signature of the checkpoint that covers it. The anchors make the same change with the same "
        "bytes: under a lock that is held until the commit while the last hash is read and the next one inserted, "
        "which is how audit logs are usually chained; the same as one stored procedure, the least that can be done "
        "under the lock; and without any audit.",
        (*figures, _drain()),
        tuple(ratios),
        ("The chain-lock anchors have no tiles, no checkpoints and no signature; the outbox rows include them.",),
    )


def _through_verbs(here: Installation, writers: int) -> Figure:
    plan = {"data": str(here.data), "mode": "transaction", "seconds": SECONDS, "writers": writers // _PROCESSES}
    found = processes.side_by_side("writers", [plan] * _PROCESSES)
    taken = [one for answer in found for one in answer["taken"]]
    what = f"require, record, commit, {writers} writers"
    return Figure(what, len(taken) / SECONDS, percentile(taken, 0.5), percentile(taken, 0.99))


def _written(here: Installation, mode: str, what: str, writers: int) -> Figure:
    script = _SCRIPT.replace("{audit}", _AUDITS[mode]).replace("{mode}", f"{mode}-{writers}")
    return load.transactions(what, here.database(), script, clients=writers, seconds=SECONDS)


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
