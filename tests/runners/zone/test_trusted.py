# SPDX-License-Identifier: Apache-2.0
"""An agent follows the rotations of the authority's keys by signed steps, and neither back nor elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from khatim.errors import Forbidden, KhatimError, Misconfigured, SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from khatim.wire import work
from registry.signing import identity, rotation, statements, trust, trust_links
from registry.signing.attesters import ATTESTERS
from registry.signing.authority import Authority
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot, verify_bundle
from runners.zone.trusted import FILE, Trusted, pin
from tests.support.http import good, problem
from tests.support.people import SAMI
from tests.support.world import World

ISSUER, WHO = "https://demo", "person:1"
TESTED = statements.statement([("m", Digest.of(b"m"))], statements.TEST_RESULT, {"result": "PASSED"})
POLICY = IdentityPolicy.of_instance("demo", ISSUER, ATTESTERS)


def clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class House:
    """An authority, and an agent that was enrolled at its beginning."""

    authority: Authority
    folder: Path

    def rotate(self, *purposes: str) -> None:
        for purpose in purposes:
            rotation.rotate(self.authority.folder, purpose, self.keys, clock(), by=WHO)

    @property
    def keys(self) -> FolderKeys:
        return FolderKeys(self.authority.folder / "keys")

    def steps(self, after: int) -> work.TrustSteps:
        links = self.authority.record.links
        return work.TrustSteps(number=len(links), links=list(links[after:]))

    def sign(self) -> str:
        """Return a statement signed with the keys of now."""
        return LocalSigner(self.authority, identity.agent("demo", "ae-health", "a-1"), ISSUER, clock).sign(TESTED)

    def trusted(self) -> Trusted:
        return Trusted(self.folder, "demo")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    authority = Authority.create(tmp_path / "sigstore", "demo", lambda: clock() - timedelta(hours=1))
    folder = tmp_path / "agent"
    folder.mkdir()
    pin(folder, enrolled_with(trust.trusted_root(authority.record)))
    yield House(authority, folder)
    authority.close()


def enrolled_with(document: dict[str, object]) -> work.Identity:
    return work.Identity(
        agent="agent:a-1", zone="ae-health", token="t", expires_at=clock(), issuer=ISSUER, instance="demo",
        token_key="k", trusted_root=document,
    )  # fmt: skip


def holds(trusted: Trusted, bundle: str) -> bool:
    try:
        verify_bundle(bundle, trusted.root, POLICY)
    except SignatureInvalid:
        return False
    return True


def test_a_running_agent_verifies_what_was_signed_after_a_rotation_and_before(house: House) -> None:
    trusted, before = house.trusted(), house.sign()
    house.rotate("signing", "signature-log", "timestamping", "certificate-log")
    after = house.sign()
    assert holds(trusted, before)
    assert not holds(trusted, after)

    orders = work.Orders(at=clock(), endpoints=[], trust=4)
    assert trusted.is_due(orders)
    trusted.take(house.steps(trusted.number))
    assert trusted.number == 4
    assert not trusted.is_due(orders)
    assert holds(trusted, after)
    assert holds(trusted, before)
    again = house.trusted()
    assert again.number == 4, "remembered on disk"
    assert holds(again, after)


def test_an_older_root_is_refused_also_after_a_restart(house: House) -> None:
    old = house.steps(0)
    house.rotate("signing")
    house.trusted().take(house.steps(0))
    for trusted in (house.trusted(), house.trusted()):
        with pytest.raises(VerificationFailed, match="number 1 was seen before"):
            trusted.take(old)
        assert trusted.number == 1


def test_another_authority_leads_nowhere(house: House, tmp_path: Path) -> None:
    thief = Authority.create(tmp_path / "thief", "demo", lambda: clock() - timedelta(hours=1))
    rotation.rotate(thief.folder, "signing", FolderKeys(thief.folder / "keys"), clock(), by=WHO)
    trusted = house.trusted()
    with pytest.raises(SignatureInvalid):
        trusted.take(work.TrustSteps(number=1, links=list(thief.record.links)))
    assert (trusted.number, house.trusted().number) == (0, 0)
    thief.close()


def forged(house: House, who: str, kind: str = trust_links.KIND, number: int = 1) -> str:
    """Return what the authority's own keys would sign, with one thing wrong."""
    document = trust.trusted_root(house.authority.record)
    said = statements.statement([("r", Digest.of(b"other"))], kind, {"number": number, "trustedRoot": document})
    return LocalSigner(house.authority, identity.service("demo", who), ISSUER, clock).sign(said)


@pytest.mark.parametrize(
    "changes",
    [{"who": "registry"}, {"who": "authority", "kind": statements.ENGAGEMENT}, {"who": "authority", "number": 2},
     {"who": "authority"}],
    ids=["the registry", "kind", "number", "digest"],
)  # fmt: skip
def test_a_step_that_is_not_what_it_should_be_is_refused(house: House, changes: dict[str, str]) -> None:
    trusted = house.trusted()
    with pytest.raises(SignatureInvalid):
        trusted.take(work.TrustSteps(number=1, links=[forged(house, **changes)]))  # type: ignore[arg-type]  # as named
    assert trusted.number == 0


def test_steps_out_of_order_or_missing_are_refused(house: House) -> None:
    house.rotate("signing", "timestamping")
    one, two = house.authority.record.links
    for links in ([two, one], [one], [one, one], [two], [one, trust_links.BROKEN]):
        with pytest.raises(KhatimError):
            house.trusted().take(work.TrustSteps(number=2, links=links))
    assert house.trusted().number == 0


def test_keys_that_have_run_out_break_the_chain_and_not_the_rotation(house: House) -> None:
    late = clock() + timedelta(days=3650)
    record = house.authority.record
    after = rotation.added(record, "certificate-log", record.certificate_log[-1], late)
    broken = trust_links.linked(house.authority.folder, record, after, house.keys, late)
    assert broken.links == (trust_links.BROKEN,)
    with pytest.raises(SignatureInvalid, match="nothing leads to") as refused:
        house.trusted().take(work.TrustSteps(number=1, links=list(broken.links)))
    assert "enrolled anew" in refused.value.advice
    assert trust_links.linked(house.authority.folder, record, record, house.keys, late) is record, "nothing new"


def test_what_was_changed_on_the_disk_is_not_read(house: House) -> None:
    (house.folder / FILE).write_text(json.dumps({"number": 0, "root": {}}))
    with pytest.raises(Misconfigured, match="cannot be read"):
        house.trusted()


def test_the_registry_serves_the_steps_to_agents_alone(enrolled: World) -> None:
    assert good(enrolled.agent.api.get("/v1/agent/trust")) == {"number": 0, "links": []}
    assert good(enrolled.agent.api.get("/v1/agent/orders"))["trust"] == 0
    problem(enrolled.as_(SAMI).get("/v1/agent/trust"), 403, "forbidden")


def test_the_office_signs_no_step_for_a_server_that_asks(enrolled: World) -> None:
    notary = enrolled.parts.notary
    said = statements.statement([("r", Digest.of(b"r"))], trust_links.KIND, {"number": 1, "trustedRoot": {}})
    for who in ("authority", "registry"):
        with pytest.raises(Forbidden):
            enrolled.parts.office.sign(identity.service(notary.instance, who), said)


def test_the_root_of_an_agent_is_the_one_of_its_enrolment(house: House) -> None:
    assert TrustRoot.load(trust.dumps(trust.trusted_root(house.authority.record))) is house.trusted().root
