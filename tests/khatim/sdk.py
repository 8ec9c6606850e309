# SPDX-License-Identifier: Apache-2.0
"""The SDK against a registry and a zone door in this process, over a transport that can lose what it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from anyio.from_thread import BlockingPortal

from khatim.client import Client
from runners.zone.door import build_door
from runners.zone.store import ZoneStore
from tests.support.http import BASE, InProcess, good
from tests.support.people import Person
from tests.support.world import ZONE, World

DOOR = "http://127.0.0.1:9"  # where the agent of the story says that its door is
Trouble = Callable[[httpx.Request], httpx.Response | None]


@dataclass
class Wire(httpx.BaseTransport):
    """Carries requests to the registry or to the door; remembers them; lets *trouble* answer or raise first."""

    registry: httpx.BaseTransport
    door: httpx.BaseTransport
    trouble: list[Trouble] = field(default_factory=list)
    after: list[Trouble] = field(default_factory=list)
    carried: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.carried.append(request)
        if self.trouble and (answer := self.trouble.pop(0)(request)):
            return answer
        to_door = str(request.url).startswith(DOOR)
        answer = (self.door if to_door else self.registry).handle_request(request)
        if self.after and (other := self.after.pop(0)(request)):
            return other
        return answer

    def keys(self, path: str) -> list[str]:
        """Return the idempotency keys under which *path* was asked."""
        return [one.headers["idempotency-key"] for one in self.carried if one.url.path == path]


def breaks(_: httpx.Request) -> httpx.Response:
    """Lose the connection."""
    raise httpx.ReadError("the cable was pulled")


def away(_: httpx.Request) -> httpx.Response:
    """Answer as a proxy does whose server is away."""
    return httpx.Response(503, text="<html>away</html>")


def fine(_: httpx.Request) -> None:
    """Let the request pass."""


class Sdk:
    """Clients of a world, and the zone that its agent opens."""

    def __init__(self, world: World, portal: BlockingPortal, folder: Path) -> None:
        self.world = world
        self.store = ZoneStore.ensure(folder / "store", ZONE)
        door = build_door(
            self.store,
            zone=ZONE,
            ticket_keys=[world.parts.issuer.key.public_key()],
            on_stored=lambda blob, claims: good(
                world.agent.report({"digest": str(blob.digest), "token": claims["ticket"]}, size=blob.size)
            ),
            on_read=lambda _digest, _claims: None,
            clock=world.clock,
            max_size=1 << 20,
        )
        self.wire = Wire(world.http._transport, InProcess(door, portal))
        self._clients: list[Client] = []
        self.slept: list[float] = []

    def as_(self, person: Person, *, token: str = "") -> Client:
        """Return the client of *person*; its pauses are noted, not slept."""
        client = Client(BASE, token or self.world.token(person), transport=self.wire)
        client.connection.sleep = self.slept.append
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


def doors_of(requests: list[httpx.Request]) -> Iterator[httpx.Request]:
    """Yield those of *requests* that went to a zone door."""
    return (one for one in requests if urlsplit(str(one.url)).port == urlsplit(DOOR).port)
