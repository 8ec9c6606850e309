# SPDX-License-Identifier: Apache-2.0
"""Rotation and ceremonies: new generations without a restart, old ones kept, stolen ones cut off, roots offline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from audit.checkpoint import open_checkpoint
from khatim.errors import Conflict, Malformed, Misconfigured, NotFound, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import ceremony, rotation, statements, trust
from registry.signing.authority import Authority
from registry.signing.current import CurrentTrust
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys
from registry.signing.keys_sealed import SealedKeys
from registry.signing.keys_unlock import Passphrase
from registry.signing.record import PURPOSES, PublicRecord
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER

START = datetime(2025, 11, 23, 2, 0, tzinfo=UTC)
STATEMENT = statements.statement([("model", Digest.of(b"model"))], statements.TEST_RESULT, {"result": "PASSED"})
POLICY = IdentityPolicy.of_instance("demo", ISSUER)
WHO = "p-0123456789abcdef0123"


class Hands:
    """An authority, a clock that tests move, and a process that has had it open since the beginning."""

    def __init__(self, folder: Path) -> None:
        self.at = START
        self.folder = folder / "authority"
        self.keys = FolderKeys(folder / "service")
        phrase = Passphrase("a root is kept offline", cost=2**10)
        self.root_keys = SealedKeys.ensure(folder / "stick", phrase)
        self.running = Authority.create(
            self.folder, "demo", lambda: self.at, keys=self.keys, root_keys=self.root_keys, by=WHO
        )

    def later(self, **by: float) -> datetime:
        self.at += timedelta(**by)
        return self.at

    def sign(self) -> str:
        return LocalSigner(self.running, AGENT, ISSUER, lambda: self.at).sign(STATEMENT)

    def rotate(self, purpose: str) -> str:
        if purpose in ("signing", "timestamping"):
            return ceremony.renew(self.folder, purpose, self.keys, self.root_keys, self.at, by=WHO).key
        return rotation.rotate(self.folder, purpose, self.keys, self.at, by=WHO).key

    @property
    def root(self) -> TrustRoot:
        return TrustRoot.load(trust.dumps(trust.trusted_root(rotation.load(self.folder))))

    def holds(self, bundle: str) -> bool:
        try:
            verify_bundle(bundle, self.root, POLICY)
        except SignatureInvalid:
            return False
        return True


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


ALL = [purpose.replace("_", "-") for purpose in PURPOSES]


@pytest.mark.parametrize("purpose", ALL)
def test_a_running_process_goes_on_with_the_new_generation_and_the_old_one_still_verifies(
    hands: Hands, purpose: str
) -> None:
    before = hands.sign()
    hands.later(days=30)
    made = hands.rotate(purpose)
    hands.later(minutes=20)
    after = hands.sign()

    old, new = hands.running.record.generations(purpose)
    assert (made, new.key) == (f"{purpose}-2", f"{purpose}-2")
    assert old.end == "2025-12-23T02:15:00Z"
    assert hands.holds(before)
    assert hands.holds(after)
    assert hands.running.record.history[-1].kind == "rotated"
    assert hands.running.record.history[-1].details["fingerprint"] == new.fingerprint


@pytest.mark.parametrize("purpose", ["certificate-log", "signature-log", "signing", "timestamping"])
def test_the_trust_root_of_yesterday_does_not_know_the_key_of_today(hands: Hands, purpose: str) -> None:
    yesterday = hands.root
    hands.rotate(purpose)

    with pytest.raises(SignatureInvalid):
        verify_bundle(hands.sign(), yesterday, POLICY)


def test_what_was_begun_before_a_rotation_is_still_logged(hands: Hands) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = hands.running.issue_certificate(key.public_key(), AGENT, ISSUER, hands.at)[0]
    hands.rotate("signing")

    assert hands.running.issued(leaf, hands.later(minutes=4))
    assert not hands.running.issued(leaf, hands.later(hours=1))


def test_a_new_signature_log_has_its_own_genesis_key_and_origin_and_the_old_one_stays_readable(hands: Hands) -> None:
    first = hands.sign()
    old = hands.running.log
    hands.rotate("signature-log")
    second = hands.sign()
    new = hands.running.log

    assert (old.origin, new.origin) == ("signatures.demo.khatim", "signatures-2.demo.khatim")
    assert old.id != new.id
    assert b'"genesis"' in next(iter(new.entries()))
    assert bundles.parse(second).entry.index == bundles.parse(first).entry.index == 1
    listed = trust.trusted_root(hands.running.record)["tlogs"]
    assert [one["baseUrl"] for one in listed] == ["https://signatures.demo.khatim", "https://signatures-2.demo.khatim"]
    assert [sorted(one["publicKey"]["validFor"]) for one in listed] == [["end", "start"], ["start"]]
    again = hands.running.log_of("signatures.demo.khatim")
    assert again.prove(1)["inclusionProof"]["treeSize"] == "3", "genesis, entry, link to the next root"
    assert open_checkpoint(again.checkpoint(), old.origin, [old._signer.verifier]).size == 3
    with pytest.raises(NotFound):
        hands.running.log_of("signatures-3.demo.khatim")


def test_a_rotation_that_crashed_after_making_its_key_does_not_stand_in_the_way(hands: Hands) -> None:
    hands.keys.create_ed25519("signature-log-2")
    (hands.folder / "log-2").mkdir()

    assert hands.rotate("signature-log") == "signature-log-3"
    assert hands.running.log.origin == "signatures-3.demo.khatim"
    assert hands.holds(hands.sign())


def test_a_plan_changes_nothing(hands: Hands) -> None:
    before = (hands.folder / rotation.RECORD).read_bytes(), hands.keys.names()
    planned = rotation.plan(hands.running.record, "timestamping", hands.keys, hands.at)

    assert (planned.old, planned.new, planned.needs_root) == ("timestamping-1", "timestamping-2", True)
    assert ((hands.folder / rotation.RECORD).read_bytes(), hands.keys.names()) == before


def test_only_purposes_are_rotated(hands: Hands) -> None:
    with pytest.raises(Malformed, match="not a purpose"):
        hands.rotate("ledger")
    with pytest.raises(Misconfigured, match="does not certify"):
        ceremony.renew(hands.folder, "signature-log", hands.keys, hands.root_keys, hands.at, by=WHO)


# --- the root offline ---


def test_the_service_holds_no_root_and_cannot_certify_alone(hands: Hands) -> None:
    before = (hands.folder / rotation.RECORD).read_bytes()

    assert "root-1" not in hands.keys.names()
    assert hands.root_keys.names() == ["root-1"]
    with pytest.raises(Misconfigured, match="key of the root") as refusal:
        rotation.rotate(hands.folder, "signing", hands.keys, hands.at, by=WHO)
    assert "ceremony renew" in refusal.value.advice
    assert (hands.folder / rotation.RECORD).read_bytes() == before


def test_the_root_of_another_authority_certifies_nothing(hands: Hands, tmp_path: Path) -> None:
    other = FolderKeys(tmp_path / "other")
    other.create_p256("root-1")

    with pytest.raises(Misconfigured, match="not that of this authority's root"):
        ceremony.renew(hands.folder, "signing", hands.keys, other, hands.at, by=WHO)


def test_a_service_certificate_does_not_outlive_its_root(hands: Hands) -> None:
    hands.later(days=3500)
    hands.rotate("signing")
    leaf, root = (one.not_valid_after_utc for one in hands.running.record.signing[-1].certificates)

    assert leaf == root


def test_a_new_root_is_listed_beside_the_old_one(hands: Hands) -> None:
    before = hands.sign()
    hands.later(days=1)
    made = ceremony.new_root(hands.folder, hands.keys, hands.root_keys, hands.at, by=WHO, because="in good time")
    hands.later(hours=1)

    assert [one.key for one in made] == ["root-2", "signing-2", "timestamping-2"]
    roots = {chain.certificates[-1].subject for chain in hands.running.record.signing}
    assert len(roots) == len({one.subject for one in (x.certificates[0] for x in hands.running.record.roots)}) == 2
    assert hands.holds(before)
    assert hands.holds(hands.sign())
    assert [one.kind for one in hands.running.record.history] == ["founded", "root_added", "rotated", "rotated"]
    assert hands.rotate("signing") == "signing-3"
    assert hands.running.record.signing[-1].certificates[1] == hands.running.record.roots[-1].certificates[0]


# --- stolen keys ---


@pytest.mark.parametrize("purpose", ALL)
def test_what_was_signed_before_the_cut_off_holds_and_what_came_later_does_not(hands: Hands, purpose: str) -> None:
    honest = hands.sign()
    since = hands.later(hours=1)
    hands.later(seconds=1)
    stolen = hands.sign()
    hands.later(hours=1)
    hands.rotate(purpose)
    cut = rotation.compromise(hands.folder, f"{purpose}-1", since, hands.at, by=WHO, because="laptop lost")

    assert (cut.cut_off, cut.end) == ("2025-11-23T03:00:00Z", "2025-11-23T03:00:00Z")
    assert hands.holds(honest)
    assert not hands.holds(stolen)
    assert hands.holds(hands.sign())


def test_a_key_in_use_is_rotated_before_it_is_cut_off(hands: Hands) -> None:
    with pytest.raises(Conflict, match="still in use") as refusal:
        rotation.compromise(hands.folder, "signing-1", START, START, by=WHO)
    assert "rotate signing" in refusal.value.advice


def test_the_earliest_moment_said_holds(hands: Hands) -> None:
    hands.rotate("certificate-log")
    hands.later(hours=3)
    for hours, expected in ((2, "04:00"), (1, "03:00"), (2, "03:00")):
        since = START + timedelta(hours=hours)
        cut = rotation.compromise(hands.folder, "certificate-log-1", since, hands.at, by=WHO)
        assert (cut.cut_off, cut.end) == (f"2025-11-23T{expected}:00Z", "2025-11-23T02:15:00Z")
    assert len([one for one in rotation.load(hands.folder).history if one.kind == "compromised"]) == 2


@pytest.mark.parametrize(("key", "hours", "said"), [("signing-7", 0, "no key"), ("signature-log-1", 5, "future")])
def test_a_key_that_never_was_or_a_moment_to_come_is_refused(hands: Hands, key: str, hours: int, said: str) -> None:
    hands.rotate("signature-log")
    with pytest.raises(Misconfigured, match=said):
        rotation.compromise(hands.folder, key, hands.at + timedelta(hours=hours), hands.at, by=WHO)


# --- the record ---


def test_the_record_reads_what_it_wrote_and_what_the_first_format_wrote(hands: Hands) -> None:
    hands.rotate("signature-log")
    record = rotation.load(hands.folder)
    first = PublicRecord.loads(
        '{"format": 1, "instance": "demo", '
        + ", ".join(
            f'"{name}": [{{"key": "{name.replace("_", "-")}-1", "start": "s", "chain": ["a", "b"], "public": ""}}]'
            for name in PURPOSES
        )
        + "}"
    )

    assert PublicRecord.loads(record.dumps()) == record
    assert (first.roots[0].key, first.roots[0].chain, first.history) == ("root-1", ("b",), ())
    assert first.origin == "signatures.demo.khatim"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 3}', '{"format": 2, "instance": "demo"}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="record"):
        PublicRecord.loads(text)


def test_trust_follows_the_record_and_is_parsed_once_for_each(hands: Hands) -> None:
    current = CurrentTrust(lambda: hands.running.record)
    before = current.root
    assert current.root is before
    hands.rotate("certificate-log")

    assert current.root is not before
    assert len(current.document["ctlogs"]) == 2
    assert verify_bundle(hands.sign(), current.root, POLICY).identity == AGENT


def test_a_certificate_of_every_generation_names_its_own_number(hands: Hands) -> None:
    hands.rotate("timestamping")
    names: Callable[[x509.Certificate], str] = lambda one: one.subject.rfc4514_string()  # noqa: E731

    assert [names(one.certificates[0]) for one in hands.running.record.timestamping] == [
        "CN=demo.khatim timestamping,O=demo.khatim",
        "CN=demo.khatim timestamping 2,O=demo.khatim",
    ]
