# SPDX-License-Identifier: Apache-2.0
"""The ledger and the signature log before Go's checksum database packages: every byte class is bent once and found.

The second generation of `sumdb` served forged hashes for years (GO-2026-6179), so the program of the guide reads every
tile itself and rebuilds the root from the entries.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.canonical import canonical
from audit.checkpoint import Checkpoint, NoteSigner, sign_checkpoint, sign_note
from audit.merkle import Tree, leaf_hash
from audit.tiles import bundles_of, encode_bundle, tiles_of
from governance.reports import manifest
from tests.governance.reports.exported import Exported
from tests.outside.office import Office, passed
from tests.outside.tools import Done, holds, refuses, run

ORIGIN = "ledger.demo.khatim"
SIZE = 66_000  # three levels of tiles: 257 full and one of 208; one full and one of 1; one of 1
SEED = bytes(range(32))


def chained(size: int, changed: int | None = None) -> list[bytes]:
    """Return entries as the ledger has them; *changed* is the one that an operator wrote anew."""
    entries: list[bytes] = []
    prev = "0" * 64
    for index in range(size):
        event = {"kind": "nothing.happened" if index == changed else "version.promoted"}
        entries.append(canonical({"event": event, "index": index, "prev": prev, "v": 1}))
        prev = sha256(entries[-1]).hexdigest()
    return entries


def tree_of(entries: Iterable[bytes]) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.append(leaf_hash(entry))
    return tree


@dataclass(frozen=True)
class Log:
    """A log in a folder as outsiders get it, with the key that signs its checkpoints."""

    folder: Path
    vkey: Path
    signer: NoteSigner

    @classmethod
    def written(cls, folder: Path, entries: Sequence[bytes], origin: str = ORIGIN) -> Log:
        """Write entries, tiles and checkpoint."""
        signer = NoteSigner(origin, Ed25519PrivateKey.from_private_bytes(SEED))
        tree = tree_of(entries)
        for path, data in (*bundles_of(entries), *tiles_of(tree)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        note = sign_checkpoint(Checkpoint(origin, len(entries), tree.root()), signer)
        (folder / "checkpoint").write_text(note)
        (folder / "vkey").write_text(signer.vkey)
        return cls(folder, folder / "vkey", signer)

    def flip(self, path: str, at: int = 40) -> None:
        """Change one bit of a file."""
        data = bytearray((self.folder / path).read_bytes())
        data[at % len(data)] ^= 1
        (self.folder / path).write_bytes(data)

    def checkpoint(self, change: Callable[[Checkpoint], Checkpoint]) -> None:
        """Sign another checkpoint with the log's own key."""
        text = (self.folder / "checkpoint").read_text().partition("\n\n")[0] + "\n"
        changed = change(Checkpoint.parse(text))
        (self.folder / "checkpoint").write_text(sign_note(changed.text(), self.signer))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log.written(Path(tmp_path_factory.mktemp("large")), chained(SIZE))


@pytest.fixture
def copied(large: Log, tmp_path: Path) -> Log:
    """Return a copy of its own of the large log."""
    folder = Path(shutil.copytree(large.folder, tmp_path / "log"))
    return replace(large, folder=folder, vkey=folder / "vkey")


def ask(program: Path, log: Log, *kept: Path, plain: bool = False) -> Done:
    return run(program, *(["-plain"] if plain else []), log.folder, log.vkey, *kept, cwd=log.folder)


# --- what is in order ---


def test_go_verifies_a_ledger_of_three_levels(verify_ledger: Path, large: Log) -> None:
    told = holds(ask(verify_ledger, large))

    assert f"{SIZE} entries lead to the signed root" in told
    assert "261 tiles are those of the entries" in told


def test_go_verifies_the_ledger_of_an_engagement_against_a_kept_checkpoint(
    verify_ledger: Path, unpacked: Path, exported: Exported
) -> None:
    done = run(verify_ledger, unpacked / "ledger", unpacked / manifest.VKEY, exported.checkpoint, cwd=unpacked)

    told = holds(done)
    assert "entries lead to the signed root" in told
    assert "has only grown since it had" in told


def test_go_verifies_the_signature_log(verify_ledger: Path, office: Office, tmp_path: Path) -> None:
    """The log of signatures has a key of its own and no chain inside; `prove` covers every entry of it."""
    for _ in range(3):
        office.sign(passed(b"report"))
    log, entries = office.authority.log, list(office.authority.log.entries())
    for path, data in (*bundles_of(entries), *tiles_of(tree_of(entries))):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "checkpoint").write_text(log.checkpoint())
    (tmp_path / "vkey").write_text(log.vkey)
    done = run(verify_ledger, "-plain", tmp_path, tmp_path / "vkey", cwd=tmp_path)

    assert f"{len(entries)} entries lead to the signed root" in holds(done)
    refuses(run(verify_ledger, tmp_path, tmp_path / "vkey", cwd=tmp_path), "does not follow")


def test_go_verifies_small_ledgers(verify_ledger: Path, tmp_path: Path) -> None:
    for size in (1, 2, 255, 256, 257):
        holds(ask(verify_ledger, Log.written(tmp_path / str(size), chained(size))))


# --- one bit of each kind of byte ---

FLIPS = {
    "entry": ("tile/entries/100", "root|follow"),
    "entry of the last bundle": ("tile/entries/257.p/208", "root|follow"),
    "tile of level 0": ("tile/0/005", "tile/0/005"),
    "partial tile of level 0": ("tile/0/257.p/208", "tile/0/257.p/208"),
    "tile of level 1": ("tile/1/000", "tile/1/000"),
    "partial tile of level 1": ("tile/1/001.p/1", "tile/1/001.p/1"),
    "partial tile of level 2": ("tile/2/000.p/1", "tile/2/000.p/1"),
}


@pytest.mark.parametrize("name", FLIPS)
def test_one_bit_of_an_entry_or_a_tile_is_named(verify_ledger: Path, copied: Log, name: str) -> None:
    path, said = FLIPS[name]
    copied.flip(path)

    done = ask(verify_ledger, copied)
    assert any(word in done.stderr for word in said.split("|"))
    assert done.returncode != 0


@pytest.mark.parametrize("line", range(5))
def test_one_bit_of_any_line_of_the_checkpoint_is_refused(verify_ledger: Path, copied: Log, line: int) -> None:
    """Origin, size, root, the empty line, the signature."""
    note = (copied.folder / "checkpoint").read_bytes()
    starts = [0, *(at + 1 for at, byte in enumerate(note) if byte == ord("\n"))]
    copied.flip("checkpoint", starts[line] + (len(ORIGIN) + 12 if line == len(starts) - 2 else 0))

    assert ask(verify_ledger, copied).returncode != 0


# --- what somebody with the key could do ---

SIGNED: dict[str, tuple[Callable[[Checkpoint], Checkpoint], str]] = {
    "origin": (lambda true: replace(true, origin="evil.example"), "is not a checkpoint of"),
    "smaller": (lambda true: replace(true, size=true.size - 1), "does not hold|no such file"),
    "larger": (lambda true: replace(true, size=true.size + 1), "no such file"),
    "root": (lambda true: replace(true, root=b"\1" * 32), "was signed"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_checkpoint_of_another_origin_size_or_root_is_refused(
    verify_ledger: Path, copied: Log, name: str
) -> None:
    change, said = SIGNED[name]
    copied.checkpoint(change)

    done = ask(verify_ledger, copied)
    assert done.returncode != 0
    assert any(word in done.stderr for word in said.split("|")), done.stderr


def test_a_checkpoint_under_another_key_of_the_same_name_is_refused(verify_ledger: Path, copied: Log) -> None:
    other = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\7" * 32))
    replace(copied, signer=other).checkpoint(lambda true: true)

    refuses(ask(verify_ledger, copied), "note has no verifiable signatures")


def test_entries_lost_swapped_or_cut_are_refused(verify_ledger: Path, copied: Log) -> None:
    path = copied.folder / "tile/entries/100"
    whole = path.read_bytes()
    entries = chained(101 * 256)[100 * 256 :]
    bent = {
        "lost": encode_bundle(entries[1:]),
        "twice": encode_bundle([entries[0], *entries]),
        "swapped": encode_bundle([entries[1], entries[0], *entries[2:]]),
        "cut": whole[:-1],
        "longer": whole + b"\0",
    }
    for data in bent.values():
        path.write_bytes(data)
        assert ask(verify_ledger, copied).returncode != 0
    path.write_bytes(whole)
    holds(ask(verify_ledger, copied))


def test_a_chain_that_the_operator_broke_and_signed_is_refused(verify_ledger: Path, tmp_path: Path) -> None:
    entries = chained(300)
    entries[200] = chained(300, changed=200)[200]

    refuses(ask(verify_ledger, Log.written(tmp_path, entries)), "entry 201 does not follow")


def test_another_history_under_a_stolen_key_is_seen_by_whoever_kept_a_checkpoint(
    verify_ledger: Path, tmp_path: Path
) -> None:
    """It agrees with itself and is truly signed: only the kept checkpoint tells."""
    true = Log.written(tmp_path / "true", chained(300))
    other = Log.written(tmp_path / "other", chained(500, changed=7))
    shorter = Log.written(tmp_path / "shorter", chained(299))
    longer = Log.written(tmp_path / "longer", chained(500))
    kept = true.folder / "checkpoint"

    holds(ask(verify_ledger, other))
    refuses(ask(verify_ledger, other, kept), "is not the beginning of this one")
    holds(ask(verify_ledger, shorter))
    refuses(ask(verify_ledger, shorter, kept), "300 entries was kept, and this one has 299")
    holds(ask(verify_ledger, longer, kept))
    holds(ask(verify_ledger, true, kept))
