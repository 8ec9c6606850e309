# SPDX-License-Identifier: Apache-2.0
"""An authority of its own for every test, signers of both kinds, and the trust root that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.signing import identity, trust
from registry.signing.authority import Authority
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.signer import LocalSigner, RemoteSigner, Signer
from registry.signing.verification import TrustRoot
from tests.registry.signing.counter import TOKEN, client_of

ISSUER = "https://demo.khatim"
AGENT = identity.agent("demo", "ae-health", "agent-1")


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """Return the present moment; signatures are compared with real time by outside tools."""
    return lambda: datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path, clock: Callable[[], datetime]) -> Iterator[Authority]:
    founded = Authority.create(tmp_path / "authority", "demo", clock)
    yield founded
    founded.close()


@pytest.fixture
def local(authority: Authority, clock: Callable[[], datetime]) -> Signer:
    return LocalSigner(authority, AGENT, ISSUER, clock)


@pytest.fixture
def remote(authority: Authority, clock: Callable[[], datetime]) -> Iterator[Signer]:
    with client_of(authority, clock, Identity(AGENT, ISSUER)) as http:
        yield RemoteSigner(http, lambda: TOKEN)


@pytest.fixture(params=["local", "remote"])
def signer(request: pytest.FixtureRequest, local: Signer, remote: Signer) -> Signer:
    """Return each kind of signer: one contract holds for all."""
    return {"local": local, "remote": remote}[str(request.param)]


@pytest.fixture
def root(authority: Authority) -> TrustRoot:
    return TrustRoot.load(trust.dumps(trust.trusted_root(authority.record)))


@pytest.fixture
def policy() -> IdentityPolicy:
    return IdentityPolicy.of_instance("demo", ISSUER)
