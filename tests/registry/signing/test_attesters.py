# SPDX-License-Identifier: Apache-2.0
"""Who may attest what in which zone: every kind of statement, by everybody who could be tempted to make one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from khatim.wire import answers
from registry.signing import identity, statements
from registry.signing.attesters import ATTESTERS, attesters_in
from registry.signing.revocation import Book
from registry.signing.verification import verify_bundle
from runners.zone.verification import Trust
from tests.support.world import ZONE, Step, World, Worlds

ABOUT = Digest.of(b"subject")
WHO = {
    "the zone's agent": lambda instance: identity.agent(instance, ZONE, "agent-1"),
    "another zone's agent": lambda instance: identity.agent(instance, "ext-de", "agent-1"),
    "a person": lambda instance: identity.person(instance, "person:7f3a"),
    "the registry": lambda instance: identity.service(instance, "registry"),
    "another service": lambda instance: identity.service(instance, "mirror"),
}
AGENTS, PEOPLE, REGISTRY = {"the zone's agent"}, {"a person"}, {"the registry"}
# Written out by hand, so that a change of the rules shows here.
MAY = {
    statements.DATASET_SNAPSHOT: AGENTS,
    statements.FEATURE_MATERIALIZATION: AGENTS,
    statements.TRAINING: AGENTS,
    statements.TEST_RESULT: AGENTS,
    statements.OMS_SIGNATURE: AGENTS,
    statements.DEPLOYMENT: AGENTS,
    statements.APPROVAL: PEOPLE,
    statements.SELF_ATTESTATION: PEOPLE,
    statements.WAIVER: PEOPLE,
    statements.ASSIGNMENT: PEOPLE,
    statements.POLICY: PEOPLE,
    statements.ENGAGEMENT: REGISTRY | {"another service"},
    statements.REVOCATIONS: REGISTRY,
    statements.ENDPOINT_STATUS: REGISTRY,
}
NOBODY = ["https://example.test/other/v1", statements.SLSA_PROVENANCE]
BUILDS = (statements.DATASET_SNAPSHOT, statements.FEATURE_MATERIALIZATION, statements.TRAINING)
CASES = [(kind, who) for kind in (*ATTESTERS, *NOBODY) for who in WHO]


@pytest.fixture(scope="module")
def enrolled(worlds: Worlds) -> Iterator[World]:
    """Yield one world for all cases: nothing here changes it."""
    with worlds.at(Step.ENROLLED) as opened:
        yield opened


def signed(world: World, kind: str, who: str) -> str:
    """Return a statement of *kind*, truly signed by *who*: only the rules stand against it."""
    notary = world.parts.notary
    built = {"buildDefinition": {"buildType": kind}} if kind in BUILDS else {}
    said = statements.statement([("subject", ABOUT)], statements.SLSA_PROVENANCE if kind in BUILDS else kind, built)
    return notary.signer_for(WHO[who](notary.instance)).sign(said)


def test_the_table_names_every_kind_that_anybody_may_claim() -> None:
    assert set(ATTESTERS) == set(MAY) == set(attesters_in(ZONE))


@pytest.mark.parametrize(("kind", "who"), CASES)
def test_the_registry_believes_a_kind_only_from_whoever_may_say_it_in_that_zone(
    enrolled: World, kind: str, who: str
) -> None:
    notary = enrolled.parts.notary
    bundle = signed(enrolled, kind, who)
    if who in MAY.get(kind, set()):
        assert verify_bundle(bundle, notary.root, notary.policy(ZONE), [ABOUT]).kind == kind
        return
    with pytest.raises(SignatureInvalid, match="may not make statements of the kind"):
        notary.check(bundle, kind, [ABOUT], zone=ZONE)


@pytest.mark.parametrize(("kind", "who"), CASES)
def test_the_runner_believes_a_kind_only_from_whoever_may_say_it_in_that_zone(
    enrolled: World, kind: str, who: str
) -> None:
    notary = enrolled.parts.notary
    bundle, at = signed(enrolled, kind, who), datetime.now(UTC)
    trust = Trust(notary.root, notary.instance, notary.issuer, Book())
    statement = answers.Statement(
        id=uuid.uuid4(), about="x", predicate_type=kind, subjects=[str(ABOUT)], identity="", issuer="", signed_at=at,
        digest=str(Digest.of(bundle.encode())), bundle=bundle,
    )  # fmt: skip
    if who in MAY.get(kind, set()):
        assert trust.verified(statement, [ABOUT], zone=ZONE, at=at).kind == kind
        return
    with pytest.raises(SignatureInvalid, match="may not make statements of the kind"):
        trust.verified(statement, [ABOUT], zone=ZONE, at=at)
