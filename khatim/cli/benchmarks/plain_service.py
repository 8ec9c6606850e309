# SPDX-License-Identifier: Apache-2.0
"""The anchor of reads and writes: the plainest service over the same rows, without identity, rules and ledger."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from khatim.cli.benchmarks import processes

_READ = (
    "SELECT id::text, namespace, name, number, zone, tags, digest, manifest, stage, status, status_message, "
    "registered_by, registered_at FROM model_versions WHERE namespace = %s AND name = %s AND number = %s"
)
_WRITE = (
    "INSERT INTO bench_aliases (model, number, at) VALUES (%s, %s, now()) "
    "ON CONFLICT (model) DO UPDATE SET number = excluded.number, at = excluded.at"
)
_PREPARE = (
    "CREATE TABLE IF NOT EXISTS bench_aliases (model text PRIMARY KEY, number int, at timestamptz)",
    "GRANT SELECT, INSERT, UPDATE ON bench_aliases TO khatim_service",
)


class Version(BaseModel):
    """What a read answers."""

    id: str
    namespace: str
    name: str
    number: int
    zone: str
    tags: list[str]
    digest: str
    manifest: dict[str, Any]
    stage: str
    status: str
    status_message: str
    registered_by: str
    registered_at: datetime


class Alias(BaseModel):
    """What a write says and answers."""

    number: int


def main() -> None:
    """Serve until the standard input is closed."""
    import psycopg
    import uvicorn
    from fastapi import FastAPI
    from psycopg.rows import dict_row

    plan = processes.told()
    with psycopg.connect(plan["owner"], autocommit=True) as owner:
        for statement in _PREPARE:
            owner.execute(statement)
    local = threading.local()

    def connection() -> psycopg.Connection[Any]:
        if not hasattr(local, "connection"):
            # As the owner, whom row-level security does not bound: nobody is asked who they are.
            local.connection = psycopg.connect(plan["owner"], row_factory=dict_row)
        found: psycopg.Connection[Any] = local.connection
        return found

    app = FastAPI()

    @app.get("/versions/{namespace}/{name}/{number}")
    def read(namespace: str, name: str, number: int) -> Version:
        with connection().transaction():
            return Version.model_validate(connection().execute(_READ, (namespace, name, number)).fetchone())

    @app.put("/aliases/{name}")
    def write(name: str, body: Alias) -> Alias:
        with connection().transaction():
            connection().execute(_WRITE, (name, body.number))
        return body

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    processes.until_closed(uvicorn.Server(config))


if __name__ == "__main__":
    main()
