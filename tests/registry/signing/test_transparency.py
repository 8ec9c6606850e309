# SPDX-License-Identifier: Apache-2.0
"""The signature log: nothing acknowledged is lost, nothing written is changed, whoever appends and whatever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from khatim.errors import AlreadyExists, LedgerInvalid, Malformed, Misconfigured, StoreFull
from registry.signing.encoding import unb64
from registry.signing.transparency import SignatureLog

ORIGIN = "signatures.demo.khatim"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SignatureLog.create(tmp_path / "log", ORIGIN, KEY).close()
    return tmp_path / "log"


def check(entry: dict[str, Any], vkey: str) -> int:
    """Check an answer as an outsider would; return the tree size."""
    proof = entry["inclusionProof"]
    checkpoint = open_checkpoint(proof["checkpoint"]["envelope"], ORIGIN, [NoteVerifier.parse(vkey)])
    hashes = [unb64(one, "hash") for one in proof["hashes"]]
    body = unb64(entry["canonicalizedBody"], "body")
    verify_inclusion(leaf_hash(body), int(entry["logIndex"]), checkpoint.size, hashes, checkpoint.root)
    assert (str(checkpoint.size), entry["logIndex"]) == (proof["treeSize"], proof["logIndex"])
    return checkpoint.size


def test_real_entries_start_at_index_one(folder: Path) -> None:
    """Entry 0 names the log: Go leaves a zero index out, and sigstore-python refuses a bundle without one."""
    log = SignatureLog(folder, ORIGIN, KEY)
    entry = log.append(b"first")

    assert entry["logIndex"] == "1"
    assert b"genesis" in next(iter(log.entries()))
    assert check(entry, log.vkey) == 2


def test_an_entry_is_there_after_a_restart(folder: Path) -> None:
    first = SignatureLog(folder, ORIGIN, KEY)
    first.append(b"one")
    first.close()
    again = SignatureLog(folder, ORIGIN, KEY)
    again.append(b"two")

    assert list(again.entries())[1:] == [b"one", b"two"]
    assert check(again.prove(1), again.vkey) == 3


def test_a_process_sees_what_another_appended(folder: Path) -> None:
    one, two = SignatureLog(folder, ORIGIN, KEY), SignatureLog(folder, ORIGIN, KEY)
    indices = [int(log.append(b"x%d" % turn)["logIndex"]) for turn in range(6) for log in (one, two)]

    assert indices == list(range(1, 13))
    assert one.checkpoint() == two.checkpoint()


def test_threads_share_one_log(folder: Path) -> None:
    log = SignatureLog(folder, ORIGIN, KEY)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda turn: log.append(b"entry %d" % turn), range(80)))

    assert sorted(int(entry["logIndex"]) for entry in entries) == list(range(1, 81))
    assert all(check(entry, log.vkey) for entry in entries)


def append_many(folder: Path, name: str, count: int) -> list[dict[str, Any]]:
    log = SignatureLog(folder, ORIGIN, KEY)
    return [log.append(f"{name} {turn}".encode()) for turn in range(count)]


def test_two_processes_appending_at_once_keep_the_log_consistent(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answers = pool.starmap(append_many, [(folder, "one", 60), (folder, "two", 60)])
    log = SignatureLog(folder, ORIGIN, KEY)
    entries = [entry for answer in answers for entry in answer]

    assert sorted(int(entry["logIndex"]) for entry in entries) == list(range(1, 121))
    assert all(check(entry, log.vkey) for entry in entries)
    stored = list(log.entries())
    assert all(unb64(entry["canonicalizedBody"], "body") == stored[int(entry["logIndex"])] for entry in entries)
    for entry in entries:  # every checkpoint given out is a prefix of the log as it stands
        size = int(entry["inclusionProof"]["treeSize"])
        root = unb64(entry["inclusionProof"]["rootHash"], "root")
        tree = log._tree
        verify_consistency(size, root, tree.size, tree.root(), tree.consistency_proof(size))


def test_what_was_acknowledged_before_a_kill_is_there_after_it(folder: Path) -> None:
    script = f"""
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from registry.signing.transparency import SignatureLog
log = SignatureLog(Path({str(folder)!r}), {ORIGIN!r}, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
while True:
    print(log.append(b"e" * 3000)["logIndex"], flush=True)
"""
    acknowledged = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(20):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split()[:-1])])
    log = SignatureLog(folder, ORIGIN, KEY)

    assert len(list(log.entries())) > acknowledged >= 80


@pytest.mark.parametrize("rest", [b"\0", b"\0" * 5000, b"\0\0\x10\0" + b"x" * 40, b"\0\0\0\x04" + b"\0" * 36])
def test_a_frame_that_a_crash_cut_short_is_cut_off(folder: Path, rest: bytes) -> None:
    log = SignatureLog(folder, ORIGIN, KEY)
    log.append(b"whole")
    before = (folder / "entries").read_bytes()
    (folder / "entries").write_bytes(before + rest)

    again = SignatureLog(folder, ORIGIN, KEY)
    assert (folder / "entries").read_bytes() == before
    assert again.append(b"next")["logIndex"] == "2"
    assert log.append(b"and so on")["logIndex"] == "3"


def test_a_log_rolled_back_behind_its_checkpoint_is_not_opened(folder: Path) -> None:
    before = (folder / "entries").read_bytes()
    log = SignatureLog(folder, ORIGIN, KEY)
    log.append(b"acknowledged")
    (folder / "entries").write_bytes(before)

    with pytest.raises(LedgerInvalid, match="does not continue"):
        SignatureLog(folder, ORIGIN, KEY)
    with pytest.raises(LedgerInvalid, match="lost entries"):
        log.append(b"another")


def test_the_end_of_an_acknowledged_entry_is_not_taken_for_a_torn_one(folder: Path) -> None:
    log = SignatureLog(folder, ORIGIN, KEY)
    log.append(b"acknowledged")
    damaged = (folder / "entries").read_bytes()[:-1] + b"?"
    (folder / "entries").write_bytes(damaged)

    with pytest.raises(LedgerInvalid, match="damaged"):
        SignatureLog(folder, ORIGIN, KEY)
    assert (folder / "entries").read_bytes() == damaged


def test_a_rewritten_history_is_not_continued(folder: Path) -> None:
    log = SignatureLog(folder, ORIGIN, KEY)
    log.append(b"truth")
    other = folder.parent / "other"
    forged = SignatureLog.create(other, ORIGIN, KEY)
    forged.append(b"false")
    (folder / "entries").write_bytes((other / "entries").read_bytes())

    with pytest.raises(LedgerInvalid, match="does not continue"):
        SignatureLog(folder, ORIGIN, KEY)


def test_a_changed_body_is_named_when_it_is_read(folder: Path) -> None:
    log = SignatureLog(folder, ORIGIN, KEY)
    log.append(b"truth")
    log.append(b"more")
    changed = (folder / "entries").read_bytes().replace(b"truth", b"false")
    (folder / "entries").write_bytes(changed)

    with pytest.raises(LedgerInvalid, match="entry 1") as refusal:
        list(SignatureLog(folder, ORIGIN, KEY).entries())
    assert refusal.value.members["place"] == "entry 1"


def test_a_checkpoint_by_another_key_is_not_believed(folder: Path) -> None:
    with pytest.raises(LedgerInvalid):
        SignatureLog(folder, ORIGIN, Ed25519PrivateKey.generate())


def test_a_full_disk_leaves_no_half_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the write half way through, as on a full disk."""
    log = SignatureLog(folder, ORIGIN, KEY)
    before = (folder / "entries").read_bytes()
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 500:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:-400], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreFull, match="No space left"):
            log.append(b"x" * 700)

    assert (folder / "entries").read_bytes() == before
    assert log.append(b"x")["logIndex"] == "1"


def test_a_log_is_started_once_and_only_on_purpose(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        SignatureLog.create(folder, ORIGIN, KEY)
    with pytest.raises(Misconfigured):
        SignatureLog(tmp_path / "nowhere", ORIGIN, KEY)


@pytest.mark.parametrize("body", [b"", b"x" * 65_536])
def test_an_entry_that_does_not_fit_a_tile_is_refused(folder: Path, body: bytes) -> None:
    with pytest.raises(Malformed, match="65535 bytes"):
        SignatureLog(folder, ORIGIN, KEY).append(body)


@pytest.mark.parametrize("index", [-1, 1])
def test_an_entry_that_is_not_there_is_named(folder: Path, index: int) -> None:
    with pytest.raises(LedgerInvalid, match=f"no entry {index}"):
        SignatureLog(folder, ORIGIN, KEY).prove(index)
