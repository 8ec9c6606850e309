# SPDX-License-Identifier: Apache-2.0
"""Key stores: one contract for all of them, and what each says when it cannot be opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khatim.errors import AlreadyExists, Misconfigured, Unavailable
from khatim.vocabulary import Digest
from registry.signing import statements, trust
from registry.signing.authority import Authority
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys, KeyStore, fresh
from registry.signing.keys_pkcs11 import Pkcs11Keys
from registry.signing.keys_sealed import HEADER, SealedKeys
from registry.signing.keys_transit import Transit
from registry.signing.keys_unlock import Passphrase, Secret, Unlock, passphrase_from, secret_from
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER
from tests.support.tokens import MODULE, PIN, make_token
from tests.support.transit import TOKEN, transit

STATEMENT = statements.statement([("model", Digest.of(b"model"))], statements.TEST_RESULT, {"result": "PASSED"})
CHEAP = 2**10  # scrypt's cost in tests; the shipped one is tested once
KINDS = ("folder", "passphrase", "secret", "transit", "pkcs11")
PORTABLE = ("folder", "passphrase", "secret", "transit")


@pytest.fixture
def token(tmp_path: Path) -> str:
    make_token(tmp_path / "hsm", "khatim")
    return "khatim"


@pytest.fixture
def address() -> Iterator[str]:
    with transit() as service:
        yield f"vault-transit://127.0.0.1:{service.server_address[1]}/khatim"


def opener(request: pytest.FixtureRequest, kind: str, folder: Path) -> Callable[[], KeyStore]:
    """Return what opens the same store again, as a restart does."""
    if kind == "folder":
        return lambda: FolderKeys(folder)
    if kind == "pkcs11":
        label = request.getfixturevalue("token")
        return lambda: Pkcs11Keys(MODULE, label, lambda: PIN)
    return lambda: SealedKeys.ensure(folder, _unlock(request, kind))


def _unlock(request: pytest.FixtureRequest, kind: str) -> Unlock:
    match kind:
        case "passphrase":
            return Passphrase("correct horse battery", cost=CHEAP)
        case "secret":
            return Secret(b"\7" * 32)
        case _:
            return Transit(request.getfixturevalue("address"), lambda: TOKEN)


@pytest.fixture(params=KINDS)
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], KeyStore]:
    return opener(request, request.param, tmp_path / "keys")


@pytest.fixture(params=PORTABLE)
def portable(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], KeyStore]:
    return opener(request, request.param, tmp_path / "keys")


# --- the contract ---


def test_keys_are_the_same_after_a_restart_and_sign(reopened: Callable[[], KeyStore]) -> None:
    store = reopened()
    made, log = store.create_p256("signing-1"), store.create_ed25519("signature-log-1")

    again = reopened()
    signature, logged = (
        again.p256("signing-1").sign(b"data", ECDSA(hashes.SHA256())),
        again.ed25519("signature-log-1").sign(b"data"),
    )

    made.public_key().verify(signature, b"data", ECDSA(hashes.SHA256()))
    log.public_key().verify(logged, b"data")
    assert again.names() == ["signature-log-1", "signing-1"]
    assert store.place


def test_a_key_is_not_replaced(reopened: Callable[[], KeyStore]) -> None:
    store = reopened()
    before = store.create_p256("signing-1").public_key()
    store.create_ed25519("signature-log-1")

    with pytest.raises(AlreadyExists):
        store.create_p256("signing-1")
    with pytest.raises(AlreadyExists):
        reopened().create_ed25519("signature-log-1")
    assert reopened().p256("signing-1").public_key() == before


def test_a_key_that_is_missing_or_of_another_kind_is_named(reopened: Callable[[], KeyStore]) -> None:
    store = reopened()
    store.create_p256("signing-1")
    store.create_ed25519("signature-log-1")

    with pytest.raises(Misconfigured, match="timestamping-1") as missing:
        store.p256("timestamping-1")
    assert missing.value.advice
    with pytest.raises(Misconfigured, match="not an Ed25519 key"):
        store.ed25519("signing-1")
    with pytest.raises(Misconfigured, match="not an ECDSA P-256 key"):
        store.p256("signature-log-1")


def test_an_authority_works_with_keys_of_every_store(reopened: Callable[[], KeyStore], tmp_path: Path) -> None:
    """Certificates, timestamps and log entries: an unchanged sigstore-python accepts what each store's keys signed."""
    clock = lambda: datetime.now(UTC)  # noqa: E731
    Authority.create(tmp_path / "authority", "demo", clock, keys=reopened()).close()
    opened = Authority.open(tmp_path / "authority", keys=reopened())
    bundle = LocalSigner(opened, AGENT, ISSUER, clock).sign(STATEMENT)
    root = TrustRoot.load(trust.dumps(trust.trusted_root(opened.record)))

    assert verify_bundle(bundle, root, IdentityPolicy.of_instance("demo", ISSUER)).identity == AGENT


def test_the_next_key_of_a_purpose_has_the_next_number(reopened: Callable[[], KeyStore]) -> None:
    store = reopened()
    assert fresh(store, "signing") == "signing-1"
    store.create_p256("signing-1")
    store.create_p256("signing-log-4")

    assert fresh(store, "signing") == "signing-2"


def test_keys_move_by_a_kit_into_any_store_but_a_token(portable: Callable[[], KeyStore], tmp_path: Path) -> None:
    source = FolderKeys(tmp_path / "source")
    made, log = source.create_p256("signing-1"), source.create_ed25519("signature-log-1")
    store = portable()
    for name in source.names():
        exported = source.export(name)
        assert exported is not None
        store.restore(name, exported)

    assert store.p256("signing-1").public_key() == made.public_key()
    assert store.ed25519("signature-log-1").public_key() == log.public_key()
    assert portable().export("signing-1") == source.export("signing-1")
    with pytest.raises(AlreadyExists):
        store.restore("signing-1", source.export("signing-1") or b"")
    with pytest.raises(Misconfigured, match="cannot be read"):
        store.restore("signing-2", b"no key")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".hidden", "x" * 64])
def test_what_is_no_name_of_a_key_is_no_path_either(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="not the name of a key"):
        FolderKeys(tmp_path / "keys").create_p256(name)


# --- sealed files ---


def sealed(folder: Path, text: str = "correct horse battery") -> SealedKeys:
    return SealedKeys.ensure(folder, Passphrase(text, cost=CHEAP))


def test_nothing_on_the_disk_is_a_key(tmp_path: Path) -> None:
    store = sealed(tmp_path / "keys")
    made = store.create_p256("signing-1")
    secret = made.private_numbers().private_value.to_bytes(32, "big")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())

    assert b"PRIVATE KEY" not in kept
    assert secret not in kept
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_wrong_passphrase_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    made = sealed(tmp_path / "keys").create_p256("signing-1").public_key()
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}

    wrong = sealed(tmp_path / "keys", "another passphrase")
    for use, name in ((wrong.p256, "signing-1"), (wrong.create_p256, "signing-2")):
        with pytest.raises(Misconfigured, match="passphrase is wrong") as refusal:
            use(name)
        assert "recovery kit" in refusal.value.advice
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before
    assert sealed(tmp_path / "keys").p256("signing-1").public_key() == made


@pytest.mark.parametrize("field", ["nonce", "sealed"])
def test_a_flipped_byte_of_a_key_is_found(tmp_path: Path, field: str) -> None:
    sealed(tmp_path / "keys").create_p256("signing-1")
    file = tmp_path / "keys" / "signing-1.sealed"
    body = json.loads(file.read_text())
    body[field] = ("A" if body[field][0] != "A" else "B") + body[field][1:]
    file.write_text(json.dumps(body))

    with pytest.raises(Misconfigured, match="does not open") as refusal:
        sealed(tmp_path / "keys").p256("signing-1")
    assert "recovery kit" in refusal.value.advice


def test_files_that_changed_names_do_not_open(tmp_path: Path) -> None:
    store = sealed(tmp_path / "keys")
    store.create_p256("signing-1")
    store.create_p256("timestamping-1")
    one, other, aside = (tmp_path / "keys" / name for name in ("signing-1.sealed", "timestamping-1.sealed", "aside"))
    one.rename(aside)
    other.rename(one)
    aside.rename(other)

    for name in ("signing-1", "timestamping-1"):
        with pytest.raises(Misconfigured, match="that of another key"):
            sealed(tmp_path / "keys").p256(name)


@pytest.mark.parametrize("kept", [b"", b"{}", b"[]", b"\xff", b'{"format": "khatim-sealed-keys/1"'])
def test_a_spoilt_header_is_named(tmp_path: Path, kept: bytes) -> None:
    sealed(tmp_path / "keys").create_p256("signing-1")
    (tmp_path / "keys" / HEADER).write_bytes(kept)

    with pytest.raises(Misconfigured, match="header of the sealed keys"):
        sealed(tmp_path / "keys").p256("signing-1")


@pytest.mark.parametrize(("field", "value"), [("n", 2**40), ("n", "x"), ("r", 9), ("salt", "!"), ("sealed", "AAAA")])
def test_a_header_with_other_parameters_does_not_take_the_memory(tmp_path: Path, field: str, value: object) -> None:
    sealed(tmp_path / "keys").create_p256("signing-1")
    header = json.loads((tmp_path / "keys" / HEADER).read_text())
    header["wrapped"][field] = value
    (tmp_path / "keys" / HEADER).write_text(json.dumps(header))

    with pytest.raises(Misconfigured, match="passphrase is wrong, or the header"):
        sealed(tmp_path / "keys").p256("signing-1")


def test_keys_are_sealed_again_under_another_passphrase_or_kind(tmp_path: Path) -> None:
    store = sealed(tmp_path / "keys")
    made = store.create_p256("signing-1").public_key()
    store.seal_again(Secret(b"\1" * 32))

    assert SealedKeys(tmp_path / "keys", Secret(b"\1" * 32)).p256("signing-1").public_key() == made
    with pytest.raises(Misconfigured, match="another kind of secret"):
        sealed(tmp_path / "keys").p256("signing-1")
    with pytest.raises(Misconfigured, match="not the one that sealed"):
        SealedKeys(tmp_path / "keys", Secret(b"\2" * 32)).p256("signing-1")


def test_the_shipped_cost_of_a_passphrase_opens_its_own_keys(tmp_path: Path) -> None:
    key = os.urandom(32)
    wrapped = Passphrase("correct horse battery").wrap(key)

    assert wrapped["n"] == 2**17
    assert Passphrase("correct horse battery").unwrap(wrapped) == key


def test_a_short_passphrase_or_secret_is_none() -> None:
    with pytest.raises(Misconfigured, match="12 characters"):
        Passphrase("short")
    with pytest.raises(Misconfigured, match="only 5 bytes"):
        Secret(b"short")


def test_secrets_come_from_credentials_and_private_files(tmp_path: Path) -> None:
    (tmp_path / "sealing").write_bytes(os.urandom(32))
    (tmp_path / "sealing").chmod(0o400)
    (tmp_path / "phrase").write_text("correct horse battery\n")
    (tmp_path / "phrase").chmod(0o600)
    wrapped = secret_from("sealing", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).wrap(b"k" * 32)

    assert secret_from(str(tmp_path / "sealing"), {}).unwrap(wrapped) == b"k" * 32
    assert passphrase_from(tmp_path / "phrase").words == "a passphrase"
    with pytest.raises(Misconfigured, match="CREDENTIALS_DIRECTORY is not set"):
        secret_from("sealing", {})
    with pytest.raises(Misconfigured, match="cannot be read"):
        secret_from("other", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (tmp_path / "phrase").chmod(0o644)
    with pytest.raises(Misconfigured, match="read by others") as refusal:
        passphrase_from(tmp_path / "phrase")
    assert refusal.value.advice.startswith("chmod 600")


# --- the key management service ---


def test_the_service_may_rotate_its_own_key(tmp_path: Path) -> None:
    with transit() as service:
        unlock = Transit(f"vault-transit://127.0.0.1:{service.server_address[1]}/khatim", lambda: TOKEN)
        made = SealedKeys.ensure(tmp_path / "keys", unlock).create_p256("signing-1").public_key()
        service.keys["khatim"].append(os.urandom(32))

        assert SealedKeys(tmp_path / "keys", unlock).p256("signing-1").public_key() == made


def test_what_the_service_refuses_is_said_with_advice(tmp_path: Path, address: str) -> None:
    SealedKeys.ensure(tmp_path / "keys", Transit(address, lambda: TOKEN)).create_p256("signing-1")
    header = tmp_path / "keys" / HEADER

    with pytest.raises(Misconfigured, match="permission denied") as refusal:
        SealedKeys(tmp_path / "keys", Transit(address, lambda: "wrong")).p256("signing-1")
    assert "token" in refusal.value.advice
    with pytest.raises(Misconfigured, match="wrapped under 'khatim'"):
        SealedKeys(tmp_path / "keys", Transit(f"{address}-2", lambda: TOKEN)).p256("signing-1")
    body = json.loads(header.read_text())
    body["wrapped"]["ciphertext"] = body["wrapped"]["ciphertext"][:-8] + "AAAAAAA="
    header.write_text(json.dumps(body))
    with pytest.raises(Misconfigured, match="message authentication failed"):
        SealedKeys(tmp_path / "keys", Transit(address, lambda: TOKEN)).p256("signing-1")


def test_a_service_that_does_not_answer_keeps_the_keys_locked(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer") as refusal:
        SealedKeys.create(tmp_path / "keys", Transit("vault-transit://127.0.0.1:1/khatim", lambda: TOKEN))
    assert "stay locked" in refusal.value.advice


@pytest.mark.parametrize(
    "reference", ["", "https://h/k", "vault-transit://h", "vault-transit:///k", "vault-transit://h/a/b"]
)
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(Misconfigured, match="not a reference"):
        Transit(reference, lambda: TOKEN)


# --- tokens ---


def test_a_key_on_a_token_cannot_leave_it(token: str) -> None:
    store = Pkcs11Keys(MODULE, token, lambda: PIN)
    made, log = store.create_p256("signing-1"), store.create_ed25519("signature-log-1")
    encoding = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    assert store.export("signing-1") is None
    for leak in (
        lambda: made.private_bytes(*encoding),
        made.private_numbers,
        lambda: log.private_bytes(*encoding),
        log.private_bytes_raw,
    ):
        with pytest.raises(Misconfigured, match="cannot leave"):
            leak()
    pkcs8 = generate_private_key(SECP256R1()).private_bytes(*encoding)
    with pytest.raises(Misconfigured, match="not put on a token"):
        store.restore("signing-2", pkcs8)
    assert Ed25519PrivateKey in type(log).__mro__


def test_a_wrong_pin_token_or_module_is_said_with_advice(token: str, tmp_path: Path) -> None:
    for store, said in (
        (Pkcs11Keys(MODULE, token, lambda: "000000"), "PIN of the token"),
        (Pkcs11Keys(MODULE, "other", lambda: PIN), "no token 'other'"),
        (Pkcs11Keys(tmp_path / "none.so", token, lambda: PIN), "cannot be loaded"),
    ):
        with pytest.raises(Misconfigured, match=said) as refusal:
            store.p256("signing-1")
        assert refusal.value.advice
    assert Pkcs11Keys(MODULE, token, lambda: PIN).names() == []
