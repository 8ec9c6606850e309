# SPDX-License-Identifier: Apache-2.0
"""Reads and governed writes through the real server process, beside a plain service on the same PostgreSQL."""

from __future__ import annotations

import json

from khatim.cli.benchmarks import installation, processes, traffic
from khatim.cli.benchmarks.figures import Figure, Section, faster, longer
from khatim.cli.benchmarks.installation import NAMESPACE, Installation

SECONDS = 3.0


def measure(here: Installation) -> Section:
    """Measure with one client and with eight."""
    signed_in = {"Authorization": f"Bearer {here.token}", "Content-Type": "application/json"}
    reads = [
        traffic.request("GET", f"/v1/models/{NAMESPACE}/{name}/versions/{number}", signed_in)
        for name, number in installation.paths()
    ]
    keyed = {**signed_in, "Idempotency-Key": traffic.UNIQUE.decode()}
    writes = [
        traffic.request("PUT", f"/v1/models/{NAMESPACE}/{name}/aliases/candidate", keyed, _number(number))
        for name, number in installation.paths()
    ]
    plain_reads = [
        traffic.request("GET", f"/versions/{NAMESPACE}/{name}/{number}", {}) for name, number in installation.paths()
    ]
    plain_writes = [
        traffic.request("PUT", f"/aliases/{name}", {"Content-Type": "application/json"}, _number(number))
        for name, number in installation.paths()
    ]
    database = {"owner": here.database("khatim_owner")}
    read = [_sent("read a version", here.port, reads, clients) for clients in (1, 8)]
    write = [_sent("move an alias", here.port, writes, clients) for clients in (1, 8)]
    with processes.serving("plain_service", database) as port:
        plain_read = [_sent("*anchor:* read a version", port, plain_reads, clients) for clients in (1, 8)]
        plain_write = [_sent("*anchor:* move an alias", port, plain_writes, clients) for clients in (1, 8)]
    return Section(
        "Reads and governed writes over HTTP",
        f"`khatim up` with one worker, as it comes; {len(reads)} versions of {installation.MODELS} models, asked in "
        "turn. A read is `GET` of one version: token, access decision, one select in a READ ONLY transaction. A write "
        "is `PUT` of an alias: token, access decision, idempotency key, row lock, change, event into the outbox, "
        "commit, answer. The anchor is the plainest service of the kind: FastAPI, a pydantic answer, psycopg, one "
        "process, one statement on the same PostgreSQL; nobody is asked who they are, and nothing is recorded.",
        (*read, *plain_read, *write, *plain_write),
        (
            longer("time of a governed read ÷ a plain one, 1 client", read[0], plain_read[0]),
            faster("governed reads a second ÷ plain ones, 8 clients", read[1], plain_read[1]),
            longer("time of a governed write ÷ a plain one, 1 client", write[0], plain_write[0]),
            faster("governed writes a second ÷ plain ones, 8 clients", write[1], plain_write[1]),
        ),
    )


def _sent(what: str, port: int, prepared: list[bytes], clients: int) -> Figure:
    named = f"{what}, {clients} client{'s' if clients > 1 else ''}"
    return traffic.send(named, port, prepared, clients=clients, seconds=SECONDS)


def _number(number: int) -> bytes:
    return json.dumps({"number": number}).encode()
