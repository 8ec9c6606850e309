# SPDX-License-Identifier: Apache-2.0
"""A witness: cosigns what continues the log, answers everything else with the status of the specification."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from audit import witness_folder
from audit.checkpoint import Checkpoint, NoteSigner, open_checkpoint, sign_checkpoint
from audit.cosignatures import Cosigner, cosigned_by
from audit.merkle import EMPTY_ROOT, Tree, leaf_hash
from audit.witness import PROOF_MAX, Reply, Witness, WitnessStore, named
from khatim.errors import AlreadyExists, Malformed, Misconfigured, Unavailable
from tests.audit.cosigning import ED25519, MLDSA44
from tests.audit.ledgers import ORIGIN, SIGNER, signer_named

OTHER = signer_named("log.other.khatim")
NOW = datetime(2026, 11, 23, 6, 0, 0, tzinfo=UTC)


def tree_of(size: int, *, fork: int | None = None) -> Tree:
    """Return a tree whose leaves differ from those of the true log from *fork* on."""
    tree = Tree()
    for number in range(size):
        told = b"other" if fork is not None and number >= fork else b"leaf"
        tree.append(leaf_hash(told + b" %d" % number))
    return tree


def asked(
    old: int, size: int, *, tree: Tree | None = None, signer: NoteSigner = SIGNER, root: bytes | None = None
) -> bytes:
    """Return the request that a log makes to go from *old* to *size*."""
    grown = tree or tree_of(size)
    note = sign_checkpoint(Checkpoint(signer.name, size, root or grown.root(size)), signer)
    proof = grown.consistency_proof(old, size) if old <= size else []
    return request(old, proof, note)


def request(old: int | str, proof: list[bytes], note: str) -> bytes:
    """Write the body of a request."""
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
    return f"old {old}\n{lines}\n{note}".encode()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Witness]:
    """Return what opens the witness again and again, as its process does when it starts."""

    def opened(store: WitnessStore | None = None, at: datetime = NOW) -> Witness:
        return Witness(
            store or WitnessStore(tmp_path / "record"),
            [ED25519, MLDSA44],
            {ORIGIN: [SIGNER.verifier], OTHER.name: [OTHER.verifier]},
            lambda: at,
        )

    return opened


@pytest.fixture
def witness(make: Callable[..., Witness]) -> Witness:
    return make()


def said(reply: Reply) -> tuple[int, str]:
    return int(reply.status), reply.body


def test_a_growing_log_is_cosigned_with_both_keys(witness: Witness) -> None:
    for old, size in ((0, 1), (1, 7), (7, 7), (7, 300)):
        body = asked(old, size)
        reply = witness.add_checkpoint(body)
        assert reply.status == 200
        note = body.decode().partition("\n\n")[2] + reply.body
        assert cosigned_by(note, [ED25519.verifier, MLDSA44.verifier]) == {ED25519.vkey: NOW, MLDSA44.vkey: NOW}
        assert open_checkpoint(note, ORIGIN, [SIGNER.verifier]).size == size


def test_the_empty_log_is_cosigned_but_with_the_root_of_nothing_only(witness: Witness) -> None:
    assert witness.add_checkpoint(asked(0, 0, root=bytes(32))).status == 422
    assert witness.add_checkpoint(asked(0, 0, root=EMPTY_ROOT)).status == 200


def test_an_unknown_log_is_not_found(witness: Witness) -> None:
    stranger = signer_named("log.stranger.khatim")
    assert witness.add_checkpoint(asked(0, 1, signer=stranger)).status == 404


def test_a_checkpoint_that_the_log_did_not_sign_is_forbidden(witness: Witness) -> None:
    honest = asked(0, 1).decode()
    line = honest.splitlines()[-1]
    blob = bytearray(base64.b64decode(line.split(" ")[2]))
    blob[-1] ^= 1
    forged = honest.replace(line, f"{' '.join(line.split(' ')[:2])} {base64.b64encode(bytes(blob)).decode()}")
    assert witness.add_checkpoint(forged.encode()).status == 403
    other_key = NoteSigner(OTHER.name, OTHER._key)
    text = Checkpoint(ORIGIN, 1, tree_of(1).root()).text()
    unsigned = f"{text}\n{other_key.sign(text)}"
    assert witness.add_checkpoint(request(0, [], unsigned)).status == 403


def test_one_wrong_signature_of_a_known_key_spoils_a_good_one(witness: Witness) -> None:
    honest = asked(0, 1).decode()
    other = asked(0, 2).decode().splitlines()[-1]
    assert witness.add_checkpoint(f"{honest}{other}\n".encode()).status == 403


def test_a_size_that_is_not_the_last_one_is_told_the_last_one(witness: Witness) -> None:
    assert witness.add_checkpoint(asked(0, 5)).status == 200
    for old, size in ((0, 6), (4, 6), (6, 8)):
        reply = witness.add_checkpoint(asked(old, size))
        assert (reply.status, reply.body, reply.media_type) == (409, "5\n", "text/x.tlog.size")
    assert witness.add_checkpoint(asked(3, 4)).status == 409, "a rollback is a conflict too"


def test_an_old_size_beyond_the_checkpoint_is_a_bad_request(witness: Witness) -> None:
    assert witness.add_checkpoint(asked(0, 5)).status == 200
    assert witness.add_checkpoint(asked(5, 4)).status == 400


def test_a_fork_is_not_cosigned(witness: Witness) -> None:
    assert witness.add_checkpoint(asked(0, 5)).status == 200
    for size in (6, 9, 300):
        assert witness.add_checkpoint(asked(5, size, tree=tree_of(size, fork=3))).status == 422
    assert witness.add_checkpoint(asked(5, 5, tree=tree_of(5, fork=3))).status == 422, "same size, another root"
    assert witness.add_checkpoint(asked(5, 9)).status == 200


def test_a_proof_where_none_belongs_or_one_hash_too_many_is_refused(witness: Witness) -> None:
    note = asked(0, 5).decode().partition("\n\n")[2]
    assert witness.add_checkpoint(request(0, [bytes(32)], note)).status == 422
    assert witness.add_checkpoint(asked(0, 5)).status == 200
    note, tree = asked(5, 9).decode().partition("\n\n")[2], tree_of(9)
    proof = tree.consistency_proof(5, 9)
    for wrong in (proof[:-1], [*proof, bytes(32)], proof[::-1], [*proof[:-1], bytes(31)], []):
        assert witness.add_checkpoint(request(5, wrong, note)).status == 422


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a leading zero": lambda body: body.replace(b"old 0\n", b"old 00\n"),
    "a negative size": lambda body: body.replace(b"old 0\n", b"old -1\n"),
    "two spaces": lambda body: body.replace(b"old 0\n", b"old  0\n"),
    "another word": lambda body: body.replace(b"old 0\n", b"OLD 0\n"),
    "no empty line": lambda body: body.replace(b"old 0\n\n", b"old 0\n"),
    "a proof that is not base64": lambda body: body.replace(b"old 0\n", b"old 0\nno base64\n"),
    "a proof too long": lambda body: body.replace(b"old 0\n", b"old 0\n" + b"AAAA\n" * (PROOF_MAX + 1)),
    "a size with a leading zero": lambda body: body.replace(b"\n1\n", b"\n01\n"),
    "no newline at the end": lambda body: body[:-1],
    "not UTF-8": lambda body: body + b"\xff",
    "nothing": lambda body: body[:0],
    "only the checkpoint": lambda body: body.partition(b"\n\n")[2],
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_has_not_the_form_is_a_bad_request(witness: Witness, what: str) -> None:
    body = SPOILT[what](asked(0, 1))
    expected = 403 if what == "no newline at the end" else 400
    assert witness.add_checkpoint(body).status == expected
    assert witness.add_checkpoint(asked(0, 1)).status == 200, "nothing was kept of it"


def test_a_monitor_gets_the_checkpoint_with_all_signatures(witness: Witness) -> None:
    assert witness.checkpoint(named(ORIGIN)).status == 404
    body = asked(0, 5)
    lines = witness.add_checkpoint(body).body
    found = witness.checkpoint(sha256(ORIGIN.encode()).hexdigest())
    assert said(found) == (200, body.decode().partition("\n\n")[2] + lines)
    for unknown in ("", "..", named("log.stranger.khatim"), named(ORIGIN).upper()):
        assert witness.checkpoint(unknown).status == 404


def test_logs_do_not_get_in_each_others_way(witness: Witness) -> None:
    assert witness.add_checkpoint(asked(0, 5)).status == 200
    assert witness.add_checkpoint(asked(0, 3, signer=OTHER)).status == 200
    assert witness.add_checkpoint(asked(5, 6)).status == 200


def test_a_clock_that_runs_behind_the_last_cosignature_stops_the_witness(make: Callable[..., Witness]) -> None:
    assert make().add_checkpoint(asked(0, 5)).status == 200
    with pytest.raises(Unavailable, match="clock"):
        make(at=NOW - timedelta(seconds=1)).add_checkpoint(asked(5, 6))
    assert make(at=NOW + timedelta(seconds=1)).add_checkpoint(asked(5, 6)).status == 200


def test_a_record_that_somebody_changed_is_not_gone_on_from(make: Callable[..., Witness], tmp_path: Path) -> None:
    assert make().add_checkpoint(asked(0, 5)).status == 200
    (record,) = (tmp_path / "record").glob("*.checkpoint")
    honest = record.read_text()
    smaller = asked(0, 4).decode().partition("\n\n")[2]
    for text in (honest.replace("\n5\n", "\n4\n"), smaller, "", honest[:100]):
        record.write_text(text)
        with pytest.raises(Unavailable):
            make().add_checkpoint(asked(4, 6))
    record.write_text(honest)
    assert make().add_checkpoint(asked(5, 6)).status == 200


class _Failing(WitnessStore):
    def save(self, origin: str, note: str) -> None:
        raise Unavailable("the disk is full")


def test_nothing_is_cosigned_that_could_not_be_kept(make: Callable[..., Witness], tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        make(_Failing(tmp_path / "record")).add_checkpoint(asked(0, 5))
    assert make().checkpoint(named(ORIGIN)).status == 404


def test_of_updates_at_once_one_wins_and_the_others_are_told(make: Callable[..., Witness]) -> None:
    """Sixteen threads with their own store each, as separate processes have; every one goes from 5 to another size."""
    assert make().add_checkpoint(asked(0, 5)).status == 200
    bodies = {size: asked(5, size) for size in range(6, 22)}
    ready, found = threading.Barrier(len(bodies)), dict[int, Reply]()

    def submit(size: int) -> None:
        mine = make()
        ready.wait()
        found[size] = mine.add_checkpoint(bodies[size])

    threads = [threading.Thread(target=submit, args=(size,)) for size in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [size for size, reply in found.items() if reply.status == 200]
    assert len(won) == 1
    assert {said(reply) for size, reply in found.items() if size not in won} == {(409, f"{won[0]}\n")}


class WitnessMachine(RuleBasedStateMachine):
    """A log, its forks and impostors against one witness; the model is the one line of history it may cosign."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0  # what the witness cosigned last
        self.root = EMPTY_ROOT

    @initialize(folder=st.uuids())
    def begin(self, folder: Any) -> None:
        import tempfile  # noqa: PLC0415 - one folder for each run of the machine

        self.folder = tempfile.TemporaryDirectory()
        self.restart()

    @rule()
    def restart(self) -> None:
        store = WitnessStore(Path(self.folder.name))
        self.witness = Witness(store, [ED25519], {ORIGIN: [SIGNER.verifier]}, lambda: NOW)

    @rule(old=st.integers(0, 12), size=st.integers(0, 12), fork=st.none() | st.integers(0, 12))
    def submit(self, old: int, size: int, fork: int | None) -> None:
        tree = tree_of(max(old, size), fork=fork)
        reply = self.witness.add_checkpoint(asked(old, size, tree=tree, root=tree.root(size)))
        continues = tree.root(self.size) == self.root if self.size <= tree.size else False
        expected = 400 if old > size else 409 if old != self.size else 200 if continues else 422
        assert reply.status == expected
        if expected == 409:
            assert reply.body == f"{self.size}\n"
        if expected == 200:
            self.size, self.root = size, tree.root(size)

    @precondition(lambda self: self.size < 12)
    @rule(more=st.integers(1, 5))
    def grow(self, more: int) -> None:
        """Go on honestly from wherever it is, so that the machine gets far."""
        for fork in (None, *range(13)):
            tree = tree_of(self.size + more, fork=fork)
            if tree.root(self.size) == self.root:
                assert self.witness.add_checkpoint(asked(self.size, tree.size, tree=tree)).status == 200
                self.size, self.root = tree.size, tree.root()
                return
        raise AssertionError("the witness is on no line of history")

    @rule(size=st.integers(0, 12))
    def forge(self, size: int) -> None:
        impostor = NoteSigner(ORIGIN, OTHER._key)
        assert self.witness.add_checkpoint(asked(self.size, max(size, self.size), signer=impostor)).status == 403

    @invariant()
    def what_it_shows_is_what_it_cosigned(self) -> None:
        shown = self.witness.checkpoint(named(ORIGIN))
        if shown.status == 404:
            assert self.size == 0
            return
        found = open_checkpoint(shown.body, ORIGIN, [SIGNER.verifier])
        assert (found.size, found.root) == (self.size, self.root)
        assert set(cosigned_by(shown.body, [ED25519.verifier])) == {ED25519.vkey}

    def teardown(self) -> None:
        self.folder.cleanup()


TestWitnessMachine = WitnessMachine.TestCase
TestWitnessMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_witness_lives_in_a_folder(tmp_path: Path) -> None:
    vkeys = witness_folder.found(tmp_path, "witness.test/w1")
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    assert [one.vkey for one in witness_folder.cosigners_of(tmp_path)] == vkeys
    with pytest.raises(Misconfigured, match="watches no log"):
        witness_folder.open_witness(tmp_path, lambda: NOW)
    assert witness_folder.watch(tmp_path, SIGNER.vkey) == ORIGIN
    assert witness_folder.watch(tmp_path, OTHER.vkey, "an origin with spaces") == "an origin with spaces"
    assert set(witness_folder.logs_of(tmp_path)) == {ORIGIN, "an origin with spaces"}
    assert witness_folder.open_witness(tmp_path, lambda: NOW).add_checkpoint(asked(0, 3)).status == 200
    with pytest.raises(AlreadyExists):
        witness_folder.found(tmp_path, "witness.test/w1")
    with pytest.raises(Malformed):
        witness_folder.watch(tmp_path, "no key")


def test_a_folder_without_a_witness_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        witness_folder.cosigners_of(tmp_path)
    with pytest.raises(Misconfigured):
        Witness(WitnessStore(tmp_path), list[Cosigner](), {}, lambda: NOW)
