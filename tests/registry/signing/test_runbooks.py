# SPDX-License-Identifier: Apache-2.0
"""The runbooks of docs/guides/authority.md, each run as it is written, with the commands that stand there."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from khatim.errors import KhatimError, Misconfigured, NotFound, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import ceremony, recovery_kit, rotation, statements, trust
from registry.signing.affected import affected, witnessed
from registry.signing.authority import Authority
from registry.signing.identity import IdentityPolicy
from registry.signing.keys import FolderKeys
from registry.signing.recovery_kit import by_shares
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot, verify_bundle
from runners.zone.store import KEY_FILE, ZoneStore
from tests.khatim.test_authority_command import Operator
from tests.registry.signing.conftest import AGENT, ISSUER

STATEMENT = statements.statement([("model", Digest.of(b"model"))], statements.TEST_RESULT, {"result": "PASSED"})
POLICY = IdentityPolicy.of_instance("demo", ISSUER)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Return a production installation that is ready: sealed keys, root offline, a kit that was proved."""
    at_work = Operator(tmp_path, monkeypatch).production()
    at_work.found()
    at_work.prove()
    at_work.held.require_ready()
    return at_work


def sign(operator: Operator) -> str:
    opened = operator.held.open()
    try:
        return LocalSigner(opened, AGENT, ISSUER, lambda: datetime.now(UTC)).sign(STATEMENT)
    finally:
        opened.close()


def signed_at(opened: Authority, at: datetime) -> str:
    return LocalSigner(opened, AGENT, ISSUER, lambda: at).sign(STATEMENT)


def root(operator: Operator) -> TrustRoot:
    return TrustRoot.load(trust.dumps(trust.trusted_root(operator.held.record)))


def holds(bundle: str, believed: TrustRoot) -> bool:
    try:
        verify_bundle(bundle, believed, POLICY)
    except SignatureInvalid:
        return False
    return True


def test_passphrase_lost(operator: Operator) -> None:
    """The keys come back from the kit, under a new passphrase; record and log stay as they are."""
    before = sign(operator)
    operator.unlock("other")  # nobody knows the old one any more
    with pytest.raises(Misconfigured, match="passphrase is wrong"):
        operator.held.open()
    kit = str(operator.folder / "kit")
    operator.says("restore", "--kit", kit, "--sealed", operator.phrases["kit"], "--keys-only")

    after = sign(operator)
    assert holds(before, root(operator))
    assert holds(after, root(operator))
    assert operator.held.open().log.origin == "signatures.demo.khatim"
    operator.held.require_ready()
    assert len(list((operator.data / "authority").glob("keys.locked-*"))) == 1


def test_disk_lost(operator: Operator) -> None:
    """The whole installation comes back on an empty disk; old signatures verify, a new log goes on."""
    before = sign(operator)
    tokens = (operator.data / "keys" / "tokens.pem").read_bytes()
    shutil.rmtree(operator.data)
    with pytest.raises(Misconfigured, match="no signing authority"):
        operator.held.open()
    kit = str(operator.folder / "kit")
    operator.says("restore", "--kit", kit, "--sealed", operator.phrases["kit"])

    assert holds(before, root(operator))
    assert holds(sign(operator), root(operator))
    assert (operator.data / "keys" / "tokens.pem").read_bytes() == tokens
    assert operator.held.open().log.origin == "signatures-2.demo.khatim"
    with pytest.raises(Misconfigured, match="recovery test"):
        operator.held.require_ready()
    operator.prove("second")
    operator.held.require_ready()


def test_disk_lost_and_the_kit_is_opened_by_three_of_five_people(operator: Operator) -> None:
    kit = operator.folder / "shared"
    shares = operator.says("backup", "--to", str(kit), "--shares", "5", "--threshold", "3")["shares"]
    before = sign(operator)
    shutil.rmtree(operator.data)
    said = [word for share in shares[1:4] for word in ("--share", share)]
    operator.says("restore", "--kit", str(kit), *said)

    assert holds(before, root(operator))
    with recovery_kit.reading(kit, by_shares(shares[:3])) as (header, _):
        assert header.instance == "demo"


def test_intermediate_stolen(operator: Operator) -> None:
    """What was signed before the cut-off stays valid; what came later is listed and does not verify."""
    clock = datetime.now(UTC).replace(microsecond=0)
    opened = operator.held.open()
    when = {"before": clock - timedelta(hours=2), "after": clock - timedelta(minutes=30)}
    # The service's own clock is moved: these were signed two hours and half an hour ago.
    _older(operator, clock - timedelta(hours=3))
    opened.close()
    opened = operator.held.open()
    bundles = {name: signed_at(opened, at) for name, at in when.items()}
    opened.close()
    assert all(holds(one, root(operator)) for one in bundles.values())

    operator.says("ceremony", "renew", "signing", "--root", *operator.offline(), "--because", "stolen")
    since = f"{clock - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    said = operator.says("compromise", "signing", "--since", since, "--because", "laptop stolen")

    step = "spiffe://demo.khatim/service/authority"  # to the next trusted root: the stolen key signed that, too
    listed = [(one["index"], one["identity"], one["key"]) for one in said["affected"]]
    assert listed == [(2, AGENT, "signing-1"), (3, step, "signing-1")]
    assert holds(bundles["before"], root(operator))
    assert not holds(bundles["after"], root(operator))
    assert holds(sign(operator), root(operator))
    with pytest.raises(Misconfigured, match="a rotation came after it"):
        operator.held.require_ready()


def _older(operator: Operator, at: datetime) -> None:
    """Found the authority again, hours ago, as if the installation had run since then."""
    from gateway.custody import Custody  # noqa: PLC0415
    from registry.signing.keys_sealed import SealedKeys  # noqa: PLC0415
    from registry.signing.keys_unlock import passphrase_from  # noqa: PLC0415

    held: Custody = operator.held
    for lost in (held.folder, held.sealed, operator.folder / "stick"):
        shutil.rmtree(lost)
    roots = SealedKeys.ensure(operator.folder / "stick", passphrase_from(Path(operator.phrases["root"])))
    held.found(lambda: at, "p-test", roots).close()


@pytest.mark.parametrize("purpose", ["signing", "timestamping", "certificate-log", "signature-log"])
def test_what_a_stolen_key_touches_is_listed_from_the_logs(tmp_path: Path, purpose: str) -> None:
    """The pure function behind the listing, for each kind of key."""
    start, keys = datetime(2025, 11, 1, tzinfo=UTC), FolderKeys(tmp_path / "keys")
    opened = Authority.create(tmp_path / "authority", "demo", lambda: start, keys=keys)
    times = [start + timedelta(hours=hours) for hours in (1, 2, 3)]
    for at in times:
        signed_at(opened, at)
    rotation.rotate(tmp_path / "authority", purpose, keys, start + timedelta(hours=4), by="p")
    LocalSigner(opened, AGENT, ISSUER, lambda: start + timedelta(hours=5)).sign(STATEMENT)
    rotation.compromise(tmp_path / "authority", f"{purpose}-1", times[1], start + timedelta(hours=6), by="p")
    record = opened.record
    found = [
        one
        for log in record.signature_log
        for one in affected(record, witnessed(record.origin_of(log), opened.log_of(record.origin_of(log)).entries()))
    ]

    theirs = [one for one in found if not one.signature.identity.endswith("/service/authority")]  # the step to the next
    assert [(one.signature.at, one.key) for one in theirs] == [(times[2], f"{purpose}-1")]
    opened.close()


def test_root_expired(tmp_path: Path) -> None:
    """A ceremony makes a new root without the old one; what was signed under the old root still verifies."""
    start = datetime(2014, 1, 1, tzinfo=UTC)
    over = start + timedelta(days=3660)
    folder, keys, stick = tmp_path / "authority", FolderKeys(tmp_path / "keys"), FolderKeys(tmp_path / "stick")
    opened = Authority.create(folder, "demo", lambda: start, keys=keys, root_keys=stick)
    before = LocalSigner(opened, AGENT, ISSUER, lambda: start + timedelta(days=1)).sign(STATEMENT)
    with pytest.raises(Misconfigured, match="not valid at"):
        LocalSigner(opened, AGENT, ISSUER, lambda: over).sign(STATEMENT)
    with pytest.raises(Misconfigured, match="root-1 is valid from") as refusal:
        ceremony.renew(folder, "signing", keys, stick, over, by="p")
    assert "new-root" in refusal.value.advice

    ceremony.new_root(folder, keys, FolderKeys(tmp_path / "another stick"), over, by="p", because="ran out")
    after = LocalSigner(opened, AGENT, ISSUER, lambda: over).sign(STATEMENT)
    believed = TrustRoot.load(trust.dumps(trust.trusted_root(opened.record)))
    assert holds(before, believed)
    assert holds(after, believed)
    opened.close()


def test_zone_key_lost(tmp_path: Path) -> None:
    """Without its key a zone's store is unreadable, for everybody; other zones are not touched; its copy opens it."""
    stores = {zone: ZoneStore.create(tmp_path / zone, zone) for zone in ("ae-health", "sa-bank")}
    kept = {zone: store.put([zone.encode()], max_size=100).digest for zone, store in stores.items()}
    copy = tmp_path / "kit of ae-health"
    shutil.copy2(tmp_path / "ae-health" / KEY_FILE, copy)
    (tmp_path / "ae-health" / KEY_FILE).unlink()

    with pytest.raises(NotFound, match="no key"):
        ZoneStore.open(tmp_path / "ae-health", "ae-health")
    # Another zone's key, or a new one, does not open it either.
    for other in ("sa-bank", "new"):
        if other == "new":
            ZoneStore.create(tmp_path / "new", "ae-health")
        shutil.copy2(tmp_path / other / KEY_FILE, tmp_path / "ae-health" / KEY_FILE)
        with pytest.raises(KhatimError):
            ZoneStore.open(tmp_path / "ae-health", "ae-health").read(kept["ae-health"], max_size=100)
        (tmp_path / "ae-health" / KEY_FILE).unlink()
    assert ZoneStore.open(tmp_path / "sa-bank", "sa-bank").read(kept["sa-bank"], max_size=100) == b"sa-bank"

    shutil.copy2(copy, tmp_path / "ae-health" / KEY_FILE)
    assert ZoneStore.open(tmp_path / "ae-health", "ae-health").read(kept["ae-health"], max_size=100) == b"ae-health"
