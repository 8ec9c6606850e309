# SPDX-License-Identifier: Apache-2.0
"""One installation as its users have it: a server process, agents, people with tokens, HTTP between them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from gateway import local_tokens, supervisor
from gateway.embedded import EmbeddedDatabase

ROLES = {
    "engineer": "data-engineer",
    "scientist": "data-scientist",
    "validator": "validator",
    "privacy": "privacy-officer",
    "risk": "model-risk-approver",
    "auditor": "auditor",
    "platform": "platform-engineer",
}


def khatim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "khatim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


class Installation:
    """A running installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = ""
        self._agents: list[subprocess.Popen[bytes]] = []

    def up(self, *more: str) -> None:
        done = khatim("up", "--data", str(self.data), *(more or ("--port", "0")), "--detach")
        assert done.returncode == 0, done.stderr
        self.url = str(supervisor.require_running(self.data)["url"])

    def down(self) -> None:
        for agent in self._agents:
            agent.terminate()
            agent.wait(20)
        khatim("down", "--data", str(self.data))

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def pid(self) -> int:
        return int(supervisor.require_running(self.data)["pid"])

    def token(self, who: str) -> str:
        at = datetime.now(UTC)
        return local_tokens.access(self.data, who, [ROLES[who]], at=at, ttl=timedelta(hours=1))

    def call(self, who: str, method: str, path: str, body: Any = None, *, url: str = "") -> Any:
        """Call as a person; fails on anything but success."""
        headers = {"Authorization": f"Bearer {self.token(who)}", "Idempotency-Key": uuid.uuid4().hex}
        response = httpx.request(method, (url or self.url) + path, headers=headers, json=body, timeout=30)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def start_agent(self, zone: str = "ae-health", *, url: str = "", name: str = "agent") -> subprocess.Popen[bytes]:
        token = self.call("platform", "POST", "/v1/agents/invitations", {"zone": zone})["token"]
        known = len(self.call("platform", "GET", "/v1/agents")["items"])
        agent = self.run_agent(token, url=url, name=name)
        self.await_that(lambda: self._seen() > known, "the agent does not answer")
        return agent

    def run_agent(self, token: str = "", *, url: str = "", name: str = "agent") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "khatim", "agent", "run", "--server", url or self.url]
        command += ["--data", str(self.folder / name), "--name", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            agent = subprocess.Popen(
                command,
                env={**os.environ, "KHATIM_ENROL_TOKEN": token},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._agents.append(agent)
        return agent

    def _seen(self) -> int:
        return sum(agent["seen_at"] is not None for agent in self.call("platform", "GET", "/v1/agents")["items"])

    def upload(self, who: str, data: bytes, *, tags: list[str], url: str = "") -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        body = {"zone": "ae-health", "digest": digest, "size": len(data), "media_type": "text/csv", "tags": tags}
        ticket = self.call(who, "POST", "/v1/uploads", body, url=url)
        headers = {"Authorization": f"Bearer {ticket['token']}"}
        response = httpx.put(f"{ticket['door']}/blobs/{digest}", content=data, headers=headers, timeout=30)
        assert response.status_code == 201, response.text
        return digest

    def await_job(self, job: dict[str, Any], *, timeout_s: float = 150) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.call("platform", "GET", f"/v1/jobs/{job['id']}"))
            return found["state"] in ("done", "failed", "cancelled")

        self.await_that(ended, f"the {job['kind']} job does not end", timeout_s=timeout_s)
        return found

    def await_that(self, holds: Any, otherwise: str, *, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            logs = [path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")]
            assert time.monotonic() < deadline, "\n".join([otherwise, *logs])
            time.sleep(0.1)


def contract(columns: list[str]) -> dict[str, Any]:
    """Return a small contract: a patient key, some numbers, a label."""
    numbers = [{"name": name, "type": "float64", "nullable": False, "minimum": 0} for name in columns]
    key = {"name": "patient", "type": "string", "nullable": False}
    label = {"name": "malignant", "type": "int64", "nullable": False, "allowed": [0, 1]}
    return {"columns": [key, *numbers, label], "key": ["patient"], "tags": ["health.ae"]}


def dumped(installation: Installation) -> bytes:
    """Return every row of every table of the registry's database as text, and the files that PostgreSQL keeps."""
    embedded = EmbeddedDatabase(installation.data / "postgres")
    found = bytearray()
    with psycopg.connect(embedded.url("postgres"), autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(table))
            for row in connection.execute(query):
                found += json.dumps(row[0]).encode()
        connection.execute("CHECKPOINT")
    for path in embedded.pgdata.rglob("*"):
        if path.is_file():
            found += path.read_bytes()
    return bytes(found)
