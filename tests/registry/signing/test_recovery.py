# SPDX-License-Identifier: Apache-2.0
"""Recovery kits: what they hold, who opens them, that they are proved, and that nothing is lost on the way."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from khatim.errors import AlreadyExists, Malformed, Misconfigured
from registry.signing import recovery, recovery_kit, recovery_proof, rotation, statements, trust
from registry.signing.authority import Authority
from registry.signing.encoding import b64
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys, KeyStore
from registry.signing.keys_pkcs11 import Pkcs11Keys
from registry.signing.keys_unlock import Passphrase
from registry.signing.recovery_kit import Header, Lock, Shared, by_passphrase, by_shares, under
from registry.signing.recovery_proof import Proof
from registry.signing.signer import LocalSigner
from registry.signing.transparency import SignatureLog
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER
from tests.registry.signing.test_rotation import POLICY, STATEMENT, WHO
from tests.support.tokens import MODULE, PIN, make_token

AT = datetime(2025, 11, 23, 2, 0, tzinfo=UTC)
PHRASE = Passphrase("the kit in the safe", cost=2**10)


class House:
    """An installation: an authority with its keys, and the other keys beside it."""

    def __init__(self, data: Path, keys: KeyStore | None = None) -> None:
        self.data = data
        self.at = AT
        self.keys = keys or FolderKeys(data / "authority" / "keys")
        self.folder = data / "authority" / "sigstore"
        self.authority = Authority.create(self.folder, "demo", lambda: self.at, keys=self.keys, by=WHO)
        (data / "keys").mkdir()
        for name in ("ledger.pem", "people.key"):
            (data / "keys" / name).write_text(f"the secret of {name}")

    @property
    def extras(self) -> dict[str, Path]:
        return {f"keys/{one.name}": one for one in sorted((self.data / "keys").iterdir())}

    def sign(self) -> str:
        return LocalSigner(self.authority, AGENT, ISSUER, lambda: self.at).sign(STATEMENT)

    def backup(self, name: str = "kit", lock: Lock | None = None) -> Path:
        kit = self.data.parent / name
        recovery.backup(self.folder, self.keys, self.extras, kit, lock or under(PHRASE), self.at, by=WHO)
        return kit

    def prove(self, kit: Path) -> Proof:
        with recovery.unpacked(kit, by_passphrase(PHRASE), self.data / "run") as found:
            return recovery_proof.prove(found, kit, self.authority, self.keys, self.data, self.at, by=WHO)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "data")


@contextmanager
def files_of(kit: Path) -> Iterator[dict[str, bytes]]:
    with recovery_kit.reading(kit, by_passphrase(PHRASE)) as (_, files):
        yield {name: content.read() for name, content in files}


# --- the kit ---


def test_a_kit_holds_all_keys_the_record_the_log_and_what_is_beside_them(house: House) -> None:
    house.sign()
    with files_of(house.backup()) as files:
        assert {name for name in files if name.startswith("keys/")} == {f"keys/{one}" for one in house.keys.names()}
        assert files["authority.json"].startswith(b'{\n  "format": 2')
        assert files["log/entries"] == (house.folder / "log" / "entries").read_bytes()
        assert files["installation/keys/people.key"] == b"the secret of people.key"


def test_a_kit_says_whose_it_is_and_shows_no_secret(house: House) -> None:
    kit = house.backup()
    header, raw = recovery_kit.header_of(kit), kit.read_bytes()

    assert (header.instance, header.made, header.lock["kind"]) == ("demo", "2025-11-23T02:00:00Z", "sealed")
    assert set(header.keys.values()) == {"kit"}
    assert kit.stat().st_mode & 0o777 == 0o600
    for name in house.keys.names():
        assert (house.keys.export(name) or b"?") not in raw
    assert b"the secret of" not in raw


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_goes_into_a_kit_comes_out_whatever_its_size(tmp_path: Path, size: int) -> None:
    master = recovery_kit.new_master()
    content = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    with recovery_kit.writing(tmp_path / "kit", Header("demo", "", PHRASE_LOCK(master), {}, {}), master) as archive:
        described = tarfile.TarInfo("file")
        described.size = size
        archive.addfile(described, io.BytesIO(content))

    with files_of(tmp_path / "kit") as files:
        assert files == {"file": content[:size]}


def PHRASE_LOCK(master: bytes) -> dict[str, object]:  # noqa: N802 - a constant of the tests, applied
    return dict(under(PHRASE)(master))


@pytest.mark.parametrize("place", [0, 30, -1, -5000, "cut", "longer", "header"])
def test_a_changed_or_cut_kit_is_found(house: House, place: int | str) -> None:
    kit = house.backup()
    raw = bytearray(kit.read_bytes())
    if isinstance(place, int):
        raw[place] ^= 1
    else:
        changed = {"cut": raw[:-100], "longer": raw + b"\0", "header": raw.replace(b'"made": "2025', b'"made": "2024')}
        raw = changed[place]
    kit.write_bytes(bytes(raw))

    with pytest.raises(Misconfigured, match="kit"), files_of(kit) as files:
        assert files == {}


def test_a_kit_with_a_wrong_passphrase_does_not_open(house: House) -> None:
    kit = house.backup()
    with (
        pytest.raises(Misconfigured, match="passphrase is wrong"),
        recovery_kit.reading(kit, by_passphrase(Passphrase("not the right one", cost=2**10))),
    ):
        pass
    with pytest.raises(Misconfigured, match="sealed under a passphrase"), recovery_kit.reading(kit, by_shares(["x"])):
        pass


def test_a_kit_is_not_replaced(house: House) -> None:
    kit = house.backup()
    before = kit.read_bytes()

    with pytest.raises(AlreadyExists):
        house.backup()
    assert kit.read_bytes() == before


# --- shares ---


def test_any_k_of_n_shares_open_a_kit_and_fewer_do_not(house: House) -> None:
    lock = Shared(5, 3)
    kit = house.backup(lock=lock)

    assert len(lock.lines) == 5
    for chosen in (lock.lines[:3], lock.lines[2:], lock.lines, [lock.lines[0].upper(), *lock.lines[3:]]):
        with recovery_kit.reading(kit, by_shares(chosen)) as (header, files):
            assert header.lock == {"kind": "shares", "shares": 5, "threshold": 3}
            assert len(list(files)) > 5
    for chosen, said in (
        (lock.lines[:2], "Expected 3"),
        ([lock.lines[0]] * 3, "Expected 3"),
        ([], "empty"),
        ([*lock.lines[:2], "academic acid"], "shares do not open"),
        ([*lock.lines[:2], _other()], "shares do not open"),
    ):
        with pytest.raises(Misconfigured, match=said), recovery_kit.reading(kit, by_shares(chosen)):
            pass
    with pytest.raises(Misconfigured, match="locked by shares"), recovery_kit.reading(kit, by_passphrase(PHRASE)):
        pass


def _other() -> str:
    other = Shared(5, 3)
    other(b"\0" * 32)
    return other.lines[2]


@pytest.mark.parametrize(("number", "threshold"), [(1, 1), (3, 1), (2, 3), (17, 2), (0, 0)])
def test_numbers_of_shares_that_make_no_sense_are_refused(number: int, threshold: int) -> None:
    with pytest.raises(Malformed, match="shares cannot be made"):
        Shared(number, threshold)(b"\0" * 32)


# --- the proof ---


def test_a_kit_is_proved_for_the_keys_in_use(house: House, tmp_path: Path) -> None:
    house.sign()
    kit = house.backup()
    house.sign()
    proof = house.prove(kit)
    recovery_proof.write(proof, tmp_path / "proof.json")

    assert recovery_proof.read(tmp_path / "proof.json", house.authority.record) == proof
    assert proof.logs == {"signatures.demo.khatim": 2}
    assert set(proof.generations) == {"signing-1", "timestamping-1", "certificate-log-1", "signature-log-1"}
    assert list((house.data / "run").iterdir()) == []


def test_a_proof_leaves_the_live_log_alone(house: House) -> None:
    house.sign()
    before = (house.folder / "log" / "entries").read_bytes()
    house.prove(house.backup())

    assert (house.folder / "log" / "entries").read_bytes() == before


@pytest.mark.parametrize("purpose", ["signing", "timestamping", "certificate-log", "signature-log"])
def test_a_rotation_ends_the_proof(house: House, tmp_path: Path, purpose: str) -> None:
    proof = house.prove(house.backup())
    recovery_proof.write(proof, tmp_path / "proof.json")
    rotation.rotate(house.folder, purpose, house.keys, house.at, by=WHO)

    with pytest.raises(Misconfigured, match="other keys than those in use") as refusal:
        recovery_proof.read(tmp_path / "proof.json", house.authority.record)
    assert "authority backup" in refusal.value.advice
    with pytest.raises(Misconfigured, match=f"older than the keys in use .{purpose}-2"):
        house.prove(house.data.parent / "kit")
    recovery_proof.write(house.prove(house.backup("second")), tmp_path / "proof.json")
    assert recovery_proof.read(tmp_path / "proof.json", house.authority.record).at


def test_a_changed_missing_or_foreign_proof_does_not_count(house: House, tmp_path: Path) -> None:
    path, record = tmp_path / "proof.json", house.authority.record
    with pytest.raises(Misconfigured, match="no recovery test"):
        recovery_proof.read(path, record)
    proof = house.prove(house.backup())
    for other in (
        replace(proof, at="2030-01-01T00:00:00Z"),
        replace(proof, kit="0" * 64),
        replace(proof, instance="x"),
    ):
        recovery_proof.write(other, path)
        with pytest.raises(Misconfigured, match="was changed"):
            recovery_proof.read(path, record)
    recovery_proof.write(replace(proof, signature=b64(b"\0" * 64)), path)
    with pytest.raises(Misconfigured, match="was changed"):
        recovery_proof.read(path, record)
    for text in ("", "[]", '{"format": "khatim-recovery-proof/1"}', json.dumps({"format": "x"})):
        path.write_text(text)
        with pytest.raises(Misconfigured, match="cannot be read"):
            recovery_proof.read(path, record)


def test_a_kit_that_lacks_a_present_key_of_the_installation_is_not_proved(house: House) -> None:
    kit = house.backup()
    (house.data / "keys" / "ledger.pem").write_text("another key")

    with pytest.raises(Misconfigured, match=r"lacks the present ledger\.pem"):
        house.prove(kit)


def test_a_kit_whose_log_differs_from_the_live_one_is_not_proved(house: House) -> None:
    for _ in range(2):
        house.sign()
    kit = house.backup()
    entries = bytearray((house.folder / "log" / "entries").read_bytes())
    # Another history of the same length, signed by the same key, as after a bad restore.
    house.authority.close()
    for name in ("entries", "checkpoint"):
        (house.folder / "log" / name).unlink()
    record = rotation.load(house.folder)
    SignatureLog.create(house.folder / "log", record.origin, house.keys.ed25519(record.signature_log[-1].key)).close()
    house.authority = Authority.open(house.folder, keys=house.keys)
    for _ in range(2):
        house.sign()

    assert (house.folder / "log" / "entries").read_bytes() != bytes(entries)
    with pytest.raises(Misconfigured, match="does not extend the kit's"):
        house.prove(kit)


# --- restore ---


def restored(house: House, kit: Path, data: Path) -> tuple[Authority, KeyStore]:
    keys = FolderKeys(data / "authority" / "keys")
    with recovery.unpacked(kit, by_passphrase(PHRASE), data / "run") as found:
        assert recovery.conflicts(found, data / "authority" / "sigstore", keys, data) == []
        recovery.restore(found, data / "authority" / "sigstore", keys, data, house.at, by=WHO)
    return Authority.open(data / "authority" / "sigstore", keys=keys), keys


def test_a_restored_authority_signs_on_in_a_new_log_and_the_old_signatures_verify(house: House, tmp_path: Path) -> None:
    before = house.sign()
    kit = house.backup()
    lost = house.sign()
    house.at += timedelta(hours=1)
    again, _ = restored(house, kit, tmp_path / "new")
    after = LocalSigner(again, AGENT, ISSUER, lambda: house.at).sign(STATEMENT)
    root = TrustRoot.load(trust.dumps(trust.trusted_root(again.record)))

    assert again.log.origin == "signatures-2.demo.khatim"
    assert [one.kind for one in again.record.history[-2:]] == ["restored", "rotated"]
    for bundle in (before, lost, after):
        assert verify_bundle(bundle, root, POLICY).identity == AGENT
    assert (tmp_path / "new" / "keys" / "people.key").read_text() == "the secret of people.key"


def test_a_restore_overwrites_nothing(house: House, tmp_path: Path) -> None:
    kit, data = house.backup(), tmp_path / "new"
    restored(house, kit, data)
    with recovery.unpacked(kit, by_passphrase(PHRASE), data / "run") as found:
        folder, keys = data / "authority" / "sigstore", FolderKeys(data / "authority" / "keys")
        with pytest.raises(AlreadyExists, match="a signing authority"):
            recovery.restore(found, folder, keys, data, AT, by=WHO)
        (data / "keys" / "ledger.pem").write_text("newer")
        other = FolderKeys(tmp_path / "other")
        other.create_p256("signing-1")

        assert len(recovery.conflicts(found, folder, other, data)) == 3
        with pytest.raises(AlreadyExists, match=r"ledger\.pem"):
            recovery.restore(found, tmp_path / "elsewhere", keys, data, AT, by=WHO)
        with pytest.raises(AlreadyExists, match="another key signing-1"):
            recovery.restore(found, tmp_path / "elsewhere", other, data, AT, by=WHO)
    assert (data / "keys" / "ledger.pem").read_text() == "newer"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/x", "log/../../outside"])
def test_a_kit_writes_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    master = recovery_kit.new_master()
    with recovery_kit.writing(tmp_path / "kit", Header("demo", "", PHRASE_LOCK(master), {}, {}), master) as archive:
        archive.addfile(tarfile.TarInfo(name))

    with (
        pytest.raises(Misconfigured, match="outside its folder"),
        recovery.unpacked(tmp_path / "kit", by_passphrase(PHRASE), tmp_path / "run"),
    ):
        pass
    assert not (tmp_path / "outside").exists()


def test_keys_on_a_token_stay_there_and_the_rest_is_proved_with_them(tmp_path: Path) -> None:
    make_token(tmp_path / "hsm", "khatim")
    house = House(tmp_path / "data", Pkcs11Keys(MODULE, "khatim", lambda: PIN))
    house.sign()
    kit = house.backup()

    assert set(recovery_kit.header_of(kit).keys.values()) == {"token"}
    assert house.prove(kit).logs == {"signatures.demo.khatim": 2}
    with recovery.unpacked(kit, by_passphrase(PHRASE), house.data / "run") as found:
        assert "signing-1" in found.missing


def test_the_probe_of_a_test_is_nothing_that_may_be_attested(house: House) -> None:
    assert not any("recovery-probe" in kind for kind in IdentityPolicy.of_instance("demo", ISSUER).allowed)
    assert statements.TEST_RESULT in POLICY.allowed
    house.authority.close()
