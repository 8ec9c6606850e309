# SPDX-License-Identifier: Apache-2.0
"""A bundle tells then and now: it carries the signed list, its ledger tells the same, and a newer list decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.cosignatures import Cosigner
from governance.reports import archive, bundle, manifest, populations
from governance.reports.manifest import FORMAT_1, REVOCATIONS
from khatim.errors import VerificationFailed
from khatim.vocabulary import Basis
from tests.governance.reports.exported import Exported, export_to, take_home
from tests.support.http import good
from tests.support.people import ADEL, PETRA, VERA
from tests.support.world import DEMO, Step, Worlds

VERAS = "spiffe://test.khatim/person/p-vera"
Files = dict[str, bytes]


@pytest.fixture
def own(worlds: Worlds, tmp_path: Path) -> Iterator[Exported]:
    """Yield a bundle whose world may be changed."""
    with worlds.at(Step.EVALUATED, DEMO) as world:
        yield take_home(world, tmp_path)


def revoke(exported: Exported) -> None:
    body = {"kind": "identity", "target": f"person/{VERA.ref}", "because": "it was not her", "from_the_beginning": True}
    good(exported.world.as_(PETRA).post("/v1/revocations", body))
    exported.world.sequence()


def place_of(call: Callable[[], object]) -> str:
    with pytest.raises(VerificationFailed) as refused:
        call()
    return str(refused.value.members.get("place", ""))


def test_every_statement_says_whom_it_rests_on(exported: Exported) -> None:
    report = bundle.verify_bundle_file(exported.path)

    found = {one.kind.rpartition("/")[0].rpartition("/")[2]: set(one.rests_on) for one in report.statements_found}
    assert found["training"] == {Basis.RUNNER_ATTESTED}
    assert found["approval"] == {Basis.SERVER_ATTESTED}
    assert all("time attested by the operator only" in one.rests for one in report.statements_found)
    assert all(one.then_holds and one.now_holds for one in report.statements_found)
    assert report.revocations.startswith("list 0 ")


def test_a_witness_counts_only_when_the_verifier_trusts_it(exported: Exported, tmp_path: Path) -> None:
    witness = Cosigner("witness.example/w1", Ed25519PrivateKey.generate())
    stranger = Cosigner("witness.example/w2", Ed25519PrivateKey.generate())

    def cosigned(files: Files) -> None:
        note = files["ledger/checkpoint"].decode()
        line = witness.cosign(note.rpartition("\n\n")[0] + "\n", datetime.now(UTC))
        files["ledger/checkpoint"] = (note + line).encode()

    path = exported.forged(tmp_path / "witnessed.zip", cosigned)
    seen = bundle.verify_bundle_file(path, witnesses=[witness.vkey]).statements_found
    unseen = bundle.verify_bundle_file(path, witnesses=[stranger.vkey]).statements_found
    too_few = bundle.verify_bundle_file(path, witnesses=[witness.vkey, stranger.vkey], quorum=2).statements_found

    assert all(Basis.WITNESSED in one.rests_on for one in seen)
    assert not any(Basis.WITNESSED in one.rests_on for one in (*unseen, *too_few))


def test_what_was_revoked_after_the_export_held_then_and_does_not_hold_now(own: Exported, tmp_path: Path) -> None:
    cut = own.world.clock() + timedelta(seconds=2)
    own.world.clock.forward(seconds=5)
    digest = own.world.sql("SELECT digest FROM statements WHERE identity = %s", VERAS)[0][0]
    body = {"kind": "statement", "target": digest, "because": "it was not her", "since": cut.isoformat()}
    good(own.world.as_(PETRA).post("/v1/revocations", body))
    newer = tmp_path / "newer.json"
    newer.write_text(good(own.world.as_(ADEL).get("/v1/revocations/list"))["bundle"])
    report = bundle.verify_bundle_file(own.path, revocations=newer, now=own.world.clock())

    [fallen] = [one for one in report.statements_found if not one.now_holds]
    assert fallen.identity == VERAS
    assert fallen.then_holds
    assert "it was not her" in fallen.why
    assert fallen.advice


def test_a_bundle_exported_after_a_revocation_carries_it_and_its_ledger_tells_the_same(
    own: Exported, tmp_path: Path
) -> None:
    revoke(own)
    path = tmp_path / "after.zip"
    export_to(own.world, path)
    report = bundle.verify_bundle_file(path)

    assert report.populations["revocations"] == 1
    [fallen] = [one for one in report.statements_found if not one.now_holds]
    assert (fallen.identity, fallen.then_holds) == (VERAS, False)


def test_an_older_list_than_the_bundles_own_is_refused(own: Exported, tmp_path: Path) -> None:
    old, path = tmp_path / "old.json", tmp_path / "after.zip"
    old.write_text(good(own.world.as_(ADEL).get("/v1/revocations/list"))["bundle"])
    revoke(own)
    export_to(own.world, path)

    with pytest.raises(VerificationFailed, match="number 0, but number 1 was seen"):
        bundle.verify_bundle_file(path, revocations=old)


def test_a_registry_that_hands_out_an_empty_list_is_found_by_its_own_ledger(own: Exported, tmp_path: Path) -> None:
    with archive.opened(own.path) as opened:
        empty = opened.read(REVOCATIONS)
    revoke(own)
    path = tmp_path / "after.zip"
    export_to(own.world, path)
    later = Exported(path, own.root, own.vkey, own.checkpoint, own.headers, own.world)
    forged = later.forged(tmp_path / "forged.zip", lambda files: files.update({REVOCATIONS: empty}))

    assert place_of(lambda: bundle.verify_bundle_file(forged)) == REVOCATIONS


def test_a_bundle_of_this_format_without_a_list_is_refused(exported: Exported, tmp_path: Path) -> None:
    forged = exported.forged(tmp_path / "without.zip", lambda files: files.pop(REVOCATIONS))

    assert place_of(lambda: bundle.verify_bundle_file(forged)) == REVOCATIONS


def test_format_1_still_verifies_and_says_that_it_carries_no_list(exported: Exported, tmp_path: Path) -> None:
    def as_format_1(files: Files) -> None:
        for name in (REVOCATIONS, "populations/revocations.csv", "populations/revocations.json"):
            del files[name]

    path = exported.forged(tmp_path / "one.zip", as_format_1, format=FORMAT_1)
    report = bundle.verify_bundle_file(path)

    assert bundle.NO_REVOCATIONS in report.caveats
    assert report.revocations == ""
    assert set(report.populations) == {one.name for one in populations.of_format(FORMAT_1)}


def test_an_overdue_list_is_a_caveat(exported: Exported) -> None:
    report = bundle.verify_bundle_file(exported.path, now=datetime.now(UTC) + timedelta(days=3))

    assert bundle.OLD_REVOCATIONS in report.caveats


def test_the_report_for_people_says_whom_each_statement_rests_on_in_both_languages(exported: Exported) -> None:
    with archive.opened(exported.path) as opened:
        page = opened.read(manifest.REPORT).decode()

    for words in ("Rests on", "The zone&#39;s agent", "يستند إلى", "وكيل المنطقة"):
        assert words in page
