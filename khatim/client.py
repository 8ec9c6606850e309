# SPDX-License-Identifier: Apache-2.0
"""The SDK's front door: ``khatim.Client(url, token)``, one group a noun, one method a verb.

    >>> from khatim import Client
    >>> client = Client("http://127.0.0.1:8470", token)
    >>> file = client.artifacts.upload(Path("wdbc.csv"), zone="ae-health", tags=["health.ae"])
    >>> job = client.datasets.ingest("oncology/wdbc", zone="ae-health", source=file.digest, contract=contract)
    >>> client.jobs.wait(job)

Answers are the bodies of `khatim.wire.answers`, errors are the classes of `khatim.errors`: what the server raised is
raised again here.  Bytes never pass the registry; they go to and from the zone's own door.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from khatim.calls.access import Access
from khatim.calls.artifacts import Artifacts
from khatim.calls.connection import Connection
from khatim.calls.data import Datasets, Features
from khatim.calls.holds import Holds
from khatim.calls.incidents import Incidents
from khatim.calls.jobs import Jobs
from khatim.calls.models import Models, Versions
from khatim.calls.operation import Deployments, Findings, Monitors
from khatim.calls.people import People
from khatim.calls.proof import Engagements, Ledger
from khatim.calls.revocations import Revocations
from khatim.calls.rules import Policies
from khatim.calls.service_accounts import ServiceAccounts
from khatim.calls.streams import Streams
from khatim.calls.training import Authorisations, Trainings
from khatim.calls.transfers import Transfers
from khatim.calls.waiting import Queue
from khatim.calls.waivers import Waivers
from khatim.calls.zones import Agents, Zones
from khatim.wire import answers
from khatim.wire.sign_in import SignIn

__all__ = ["Client"]


class Client:
    """One actor's way to one registry.  A context manager; `close` gives the connections back."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None, timeout: float = 30.0
    ) -> None:
        """Speak to *url* (scheme, host, port) with a bearer *token*.

        *timeout* is in seconds, for each attempt of a call.  *transport* carries the calls in place of the network:
        tests drive a server in their own process with it.
        """
        self.connection = Connection(url, token, transport=transport, timeout=timeout)
        self.zones = Zones(self.connection)
        self.agents = Agents(self.connection)
        self.artifacts = Artifacts(self.connection)
        self.datasets = Datasets(self.connection)
        self.features = Features(self.connection)
        self.authorisations = Authorisations(self.connection)
        self.trainings = Trainings(self.connection)
        self.transfers = Transfers(self.connection)
        self.waivers = Waivers(self.connection)
        self.models = Models(self.connection)
        self.versions = Versions(self.connection)
        self.deployments = Deployments(self.connection)
        self.monitors = Monitors(self.connection)
        self.queue = Queue(self.connection)
        self.findings = Findings(self.connection)
        self.incidents = Incidents(self.connection)
        self.jobs = Jobs(self.connection)
        self.access = Access(self.connection)
        self.people = People(self.connection)
        self.service_accounts = ServiceAccounts(self.connection)
        self.policies = Policies(self.connection)
        self.revocations = Revocations(self.connection)
        self.holds = Holds(self.connection)
        self.streams = Streams(self.connection)
        self.ledger = Ledger(self.connection)
        self.engagements = Engagements(self.connection)

    @property
    def url(self) -> str:
        """Return the registry's address."""
        return self.connection.url

    def whoami(self) -> answers.Who:
        """Say who the caller is, as the registry sees it."""
        return self.connection.ask(answers.Who, "/v1/whoami")

    def how_to_sign_in(self) -> SignIn:
        """Say how people sign in to this registry; needs no token."""
        return self.connection.ask(SignIn, "/v1/sign-in")

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()
