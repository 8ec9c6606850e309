# SPDX-License-Identifier: Apache-2.0
"""A ledger verified and copied wherever it lies: folder, zip, any web server that knows nothing of Khatim."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import entries, mirroring
from audit.sources import FolderSource, TileSource, UrlSource, ZipSource
from audit.tiles import CHECKPOINT, payload_path
from audit.verify import Demands, verify_ledger
from khatim.errors import AlreadyExists, LedgerInvalid, Malformed, StoreFull, Unavailable
from khatim.vocabulary import Digest
from tests.audit.ledgers import OPENED, ORIGIN, SIGNER, MemoryLedger, chained, event_body, exported, ledger_of
from tests.support.webserver import serving

PAYLOAD = b'{"rows":"' + b"x" * 70_000 + b'"}'
BODIES = [
    entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED),
    event_body(1, payload_digest=str(Digest.of(PAYLOAD))),
    *(event_body(number) for number in range(2, 600)),
]
WHOLE = exported(chained(BODIES), [PAYLOAD])
QUIET = lambda done, total: None  # noqa: E731, ARG005 - nobody looks


def written(ledger: MemoryLedger, folder: Path) -> Path:
    for path, data in ledger.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a folder and the address under which a plain web server serves it."""
    folder = written(WHOLE, tmp_path / "served")
    with serving(folder) as address:
        yield folder, address


@pytest.fixture(params=["folder", "zip", "address"])
def source(request: pytest.FixtureRequest, served: tuple[Path, str], tmp_path: Path) -> Iterator[TileSource]:
    folder, address = served
    if request.param == "folder":
        yield FolderSource(folder)
    elif request.param == "zip":
        mirroring.to_zip(FolderSource(folder), tmp_path / "ledger.zip", QUIET)
        with zipfile.ZipFile(tmp_path / "ledger.zip") as archive:
            yield ZipSource(archive)
    else:
        found = UrlSource(address + "/")
        yield found
        found.close()


def test_it_verifies_wherever_it_lies(source: TileSource) -> None:
    assert verify_ledger(source, SIGNER.vkey).size == 600


def test_what_is_missing_is_named(source: TileSource) -> None:
    with pytest.raises(LedgerInvalid) as refused:
        source.read("tile/0/777")
    assert refused.value.members["place"] == "tile/0/777"


def test_a_changed_file_behind_an_address_is_named(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "tile" / "0" / "001").write_bytes(bytes(8192))
    found = UrlSource(address)
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(found, SIGNER.vkey)
    found.close()
    assert refused.value.members["place"] == "tile/0/001"


def test_a_file_without_end_is_not_read_to_the_end(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / CHECKPOINT).write_bytes(b"x" * 20_000_000)
    found = UrlSource(address)
    with pytest.raises(LedgerInvalid, match="larger than it can be"):
        found.checkpoint()
    found.close()


def test_an_address_that_does_not_answer_is_unavailable() -> None:
    away = UrlSource("http://127.0.0.1:9/ledger")
    with pytest.raises(Unavailable):
        away.checkpoint()
    away.close()
    with pytest.raises(Malformed):
        UrlSource("file:///etc")


def test_the_checkpoint_of_an_address_is_asked_for_once(served: tuple[Path, str]) -> None:
    folder, address = served
    found = UrlSource(address)
    first = found.checkpoint()
    (folder / CHECKPOINT).write_bytes(ledger_of(3).files[CHECKPOINT])
    assert found.checkpoint() == first
    found.close()


def test_a_copy_holds_the_same_files_and_gets_only_what_is_new(tmp_path: Path) -> None:
    older = exported(chained(BODIES[:300]), [PAYLOAD])
    copy = tmp_path / "copy"
    assert mirroring.to_folder(older, copy, QUIET) == (len(older.files), 300)
    assert mirroring.to_folder(older, copy, QUIET) == (0, 300)
    full = {path for path in older.files if ".p/" not in path} - {CHECKPOINT}
    assert mirroring.to_folder(WHOLE, copy, QUIET) == (len(set(WHOLE.files) - full), 600)
    assert verify_ledger(FolderSource(copy), SIGNER.vkey).size == 600
    assert (copy / payload_path(str(Digest.of(PAYLOAD)))).read_bytes() == PAYLOAD
    with pytest.raises(LedgerInvalid, match="holds 600 entries"):
        mirroring.to_folder(older, copy, QUIET)


class _Breaking(MemoryLedger):
    left = 3

    def read(self, path: str) -> bytes:
        self.left -= 1
        if not self.left:
            raise Unavailable("the network is gone")
        return super().read(path)


def test_an_interrupted_copy_goes_on_and_never_passes_for_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        mirroring.to_folder(_Breaking(WHOLE.files), tmp_path, QUIET)
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(FolderSource(tmp_path), SIGNER.vkey)
    assert refused.value.members["place"] == CHECKPOINT
    present = sum(1 for path in tmp_path.rglob("*") if path.is_file())
    added, _ = mirroring.to_folder(WHOLE, tmp_path, QUIET)
    assert added == len(WHOLE.files) - present
    assert verify_ledger(FolderSource(tmp_path), SIGNER.vkey).size == 600


def test_a_copy_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "tile").write_text("not a folder")
    with pytest.raises(StoreFull):
        mirroring.to_folder(WHOLE, tmp_path, QUIET)
    (tmp_path / "there.zip").write_text("something")
    with pytest.raises(AlreadyExists):
        mirroring.to_zip(WHOLE, tmp_path / "there.zip", QUIET)
    with pytest.raises(StoreFull):
        mirroring.to_zip(WHOLE, tmp_path / "nowhere" / "ledger.zip", QUIET)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    verify_ledger(FolderSource(written(WHOLE, tmp_path)), SIGNER.vkey, Demands(progress=lambda *at: told.append(at)))
    assert told[-1] == (600, 600)
