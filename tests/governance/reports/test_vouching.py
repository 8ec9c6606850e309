# SPDX-License-Identifier: Apache-2.0
"""A bundle carries who else vouches for its ledger, and its verification says for how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.cosignatures import CosignatureVerifier
from audit.endorsed import OWN_CLOCK
from audit.publisher import Publisher, Publishing
from audit.tiles import ENDORSED
from audit.witness_client import clients_of
from audit.worm import note_in, tokens_in, written
from gateway import composition
from governance.reports import bundle
from governance.reports.bundle import EngagementReport
from governance.reports.manifest import LEDGER
from khatim.errors import VerificationFailed
from khatim.vocabulary import Basis
from registry.signing import stamping
from registry.signing.authority import Authority
from tests.governance.reports.exported import Exported, export_to, take_home
from tests.khatim.test_witnessing import FIRST, SECOND, STRANGER, watching
from tests.support.stamps import chain_in, founded
from tests.support.world import DEMO, Step, World, Worlds

Files = dict[str, bytes]
OUTSIDE = "https://tsa.example"
PATH = LEDGER + ENDORSED


@dataclass(frozen=True)
class Told:
    """A bundle whose ledger was endorsed before its approvals were given, and how it can be endorsed again."""

    exported: Exported
    elsewhere: Authority
    chain: Path
    endorsed: int
    publish: Callable[[], int]

    def verified(self, path: Path | None = None, *, witnesses: int = 2, quorum: int = 2) -> EngagementReport:
        keys = [one.vkey for one in (FIRST, SECOND, STRANGER)[:witnesses]]
        return bundle.verify_bundle_file(
            path or self.exported.path, trusted_root=self.exported.root, vkey=self.exported.vkey,
            checkpoint=self.exported.checkpoint, witnesses=keys, quorum=quorum, tsa=[self.chain],
        )  # fmt: skip


@pytest.fixture(scope="module")
def told(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = Path(tmp_path_factory.mktemp("vouched"))
    elsewhere = founded(folder / "elsewhere")
    with (
        worlds.at(Step.EVALUATED, DEMO) as world,
        watching(world, folder / "1", FIRST) as first,
        watching(world, folder / "2", SECOND) as second,
    ):
        keys = [(FIRST.verifier, first), (SECOND.verifier, second)]

        def publish() -> int:
            return published(world, keys, elsewhere)

        world.sequence()
        endorsed = publish()
        yield Told(take_home(world, folder), elsewhere, chain_in(elsewhere, folder / "chain.pem"), endorsed, publish)


def published(world: World, keys: Sequence[tuple[CosignatureVerifier, str]], elsewhere: Authority) -> int:
    """Have the latest checkpoint cosigned by both witnesses and stamped by both clocks; return its size."""
    origin = composition.ledger_signer(world.parts.settings, world.parts.instance).name
    clients = clients_of(keys, origin)
    stampers = {
        OWN_CLOCK: lambda note: stamping.stamped(world.parts.office.timestamp, note, "the signer"),
        OUTSIDE: lambda note: stamping.stamped(
            lambda query: elsewhere.timestamp(query, datetime.now(UTC)), note, OUTSIDE
        ),
    }
    done = Publisher(world.url("khatim_sequencer"), Publishing(clients, stampers)).publish_once()
    for one in clients:
        one.close()
    assert (done.faults, len(done.added)) == ((), 4)
    return done.size


def rests_on(report: EngagementReport, kind: str) -> set[Basis]:
    (found,) = {one.rests_on for one in report.statements_found if kind in one.kind}
    return set(found)


def test_a_bundle_says_which_of_its_entries_are_witnessed_and_dated_by_whom(told: Told) -> None:
    report = told.verified()
    size = report.ledger.size
    assert 0 < told.endorsed < size
    assert report.vouched.witnessed == told.endorsed
    assert set(report.vouched.witnesses) == {FIRST.name, SECOND.name}
    assert rests_on(report, "buildtypes/training") == {Basis.RUNNER_ATTESTED, Basis.WITNESSED}
    assert Basis.WITNESSED not in rests_on(report, "attestations/approval"), "given after the witnesses were asked"
    assert f"Witnessed is only the first {told.endorsed} of {size} entries" in report.caveats[-1]
    own, outside = report.vouched.times
    assert (own.is_outside, own.clock, own.size) == (False, "https://tsa.test.khatim", told.endorsed)
    assert outside.is_outside
    assert outside.at is not None


def test_witnesses_that_did_not_cosign_and_unmet_quorums_are_told(told: Told) -> None:
    short = told.verified(witnesses=3, quorum=3)
    assert (short.vouched.witnessed, len(short.vouched.witnesses)) == (0, 2)
    assert Basis.WITNESSED not in rests_on(short, "buildtypes/training")
    assert "2 of the 3 witnesses that are wanted" in short.caveats[-1]
    assert told.verified(witnesses=3, quorum=2).vouched.witnessed == told.endorsed
    nobody = told.verified(witnesses=0)
    assert (nobody.vouched.witnessed, nobody.caveats) == (0, ())


def test_a_later_export_carries_what_was_witnessed_since(told: Told, tmp_path: Path) -> None:
    size = told.publish()
    export_to(told.exported.world, tmp_path / "later.zip")
    report = told.verified(tmp_path / "later.zip")
    assert report.vouched.witnessed == size > told.endorsed
    assert Basis.WITNESSED in rests_on(report, "attestations/approval")


def test_what_vouches_for_another_ledger_is_refused_although_the_registry_signed_it(told: Told, tmp_path: Path) -> None:
    data = told.exported

    def bent(change: Callable[[bytes], bytes]) -> Callable[[Files], object]:
        return lambda files: files.update({PATH: change(files[PATH])})

    log = composition.ledger_signer(data.world.parts.settings, data.world.parts.instance)
    forked = sign_checkpoint(Checkpoint(log.name, told.endorsed, bytes(32)), log)
    beyond = sign_checkpoint(Checkpoint(log.name, 100_000, bytes(32)), log)
    stranger = founded(tmp_path / "stranger", "test")

    def restamped(file: bytes, token: bytes) -> bytes:
        return written(note_in(file), [(OWN_CLOCK, token), *tokens_in(file)[1:]])

    def stamped_by_a_stranger(file: bytes) -> bytes:
        bare = note_in(file).split("\u2014 witness")[0]
        return restamped(file, stranger.stamp(bare.encode(), datetime.now(UTC)))

    def stamped_elsewhere(file: bytes) -> bytes:
        return restamped(file, stranger.stamp(b"x", datetime.now(UTC)))

    def miscosigned(file: bytes) -> bytes:
        lines = note_in(file).splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if FIRST.name in line)
        other = Checkpoint(log.name, told.endorsed, bytes(32)).text()
        return written("".join([*lines[:at], FIRST.cosign(other, datetime.now(UTC)), *lines[at + 1 :]]), [])

    cases: list[tuple[str, Callable[[bytes], bytes], str]] = [
        (ENDORSED, lambda _: forked.encode(), "written anew"),
        (ENDORSED, lambda _: beyond.encode(), "cut off"),
        (ENDORSED, lambda _: b"nothing", "three lines"),
        (f"timestamp {OWN_CLOCK}", stamped_by_a_stranger, "no timestamp authority that you trust"),
        (
            f"timestamp {OWN_CLOCK}",
            lambda file: restamped(file, stranger.stamp(b"x", datetime.now(UTC))),
            "other bytes",
        ),
        ("checkpoint", miscosigned, "does not verify"),
    ]
    for number, (place, change, said) in enumerate(cases):
        path = data.forged(tmp_path / f"{number}.zip", bent(change))
        with pytest.raises(VerificationFailed, match=said) as refused:
            told.verified(path)
        assert refused.value.members["place"] == LEDGER + place
    without = data.forged(tmp_path / "without.zip", lambda files: files.pop(PATH))
    assert told.verified(without).vouched.times == ()
