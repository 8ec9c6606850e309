# SPDX-License-Identifier: Apache-2.0
"""A throw-away installation with a real server process, filled through the same verbs that its routes call."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from khatim.vocabulary import Actor, ActorKind, Digest, Role
from khatim.wire import requests

ZONE = "ae-onshore"
NAMESPACE = "bench"
TAGS = ("synthetic",)
MODELS, VERSIONS = 50, 4
DATABASE_ROLE = "khatim_service"


@dataclass(frozen=True)
class Installation:
    """A running installation: its data folder, its server's port, a data scientist's token."""

    data: Path
    port: int
    token: str

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}"

    def database(self, role: str = DATABASE_ROLE) -> str:
        """Return the URL by which *role* reaches the database."""
        from gateway.embedded import EmbeddedDatabase

        return EmbeddedDatabase(self.data / "postgres").url(role)

    def issue(self, name: str, *roles: str) -> str:
        """Return a token for a person."""
        from gateway import local_tokens

        return local_tokens.access(self.data, name, roles, at=datetime.now(UTC), ttl=timedelta(hours=1))


@contextmanager
def installed() -> Iterator[Installation]:
    """Start ``khatim up`` on an empty folder, register models, and stop and forget it all at the end."""
    from gateway import supervisor
    from khatim import settings

    with tempfile.TemporaryDirectory(prefix="khatim-bench-") as folder:
        read = settings.load(data=Path(folder) / "data", port=0)
        url = supervisor.detach(read)
        try:
            made = Installation(read.data, int(url.rpartition(":")[2]), "")
            _fill(made)
            yield Installation(made.data, made.port, made.issue("Sami", "data-scientist"))
        finally:
            supervisor.down(read.data)


def parts_of(data: Path) -> Any:
    """Return the parts that a server process of this installation is made of."""
    from gateway import composition
    from khatim import settings

    return composition.build(settings.load(data=data))


def paths() -> list[tuple[str, int]]:
    """Return every model's name with each of its version numbers."""
    return [(f"m{model:02d}", number) for model in range(MODELS) for number in range(1, VERSIONS + 1)]


def _fill(made: Installation) -> None:
    from governance import lifecycle
    from registry import artifacts

    parts = parts_of(made.data)
    agent = Actor("agent:bench", ActorKind.AGENT, frozenset({Role.AGENT}), ZONE)
    person = Actor("p-bench", ActorKind.PERSON, frozenset({Role.DATA_SCIENTIST}))
    for name, number in paths():
        digest = str(Digest.of(f"{name}@{number}".encode()))
        with parts.ledger.transaction(agent) as tx:
            artifacts.place(
                tx, digest, zone=ZONE, size=4096, media_type="application/octet-stream", tags=TAGS, basis="benchmark"
            )
        file = requests.ManifestFile(path="model.onnx", digest=digest, size=4096)
        body = requests.Register(zone=ZONE, files=[file], tags=list(TAGS))
        with parts.ledger.transaction(person) as tx:
            lifecycle.register(tx, NAMESPACE, name, body, rules=parts.rules)
    parts.office.close()
    parts.engine.dispose()
