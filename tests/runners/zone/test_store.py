# SPDX-License-Identifier: Apache-2.0
"""The zone's store: encrypted, content-addressed, and never half written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khatim.errors import AlreadyExists, Misconfigured, NotFound, StoreFull, TooLarge, VerificationFailed
from khatim.vocabulary import Digest
from runners.zone.store import CHUNK, StoredBlob, ZoneStore

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> ZoneStore:
    return ZoneStore.create(tmp_path / "store", "ae-health")


def path_of(store: ZoneStore, digest: Digest) -> Path:
    return store.folder / "blobs" / digest.hex[:2] / digest.hex


def parts_of(store: ZoneStore) -> list[Path]:
    return list((store.folder / "staging").glob("*"))


def in_child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("known", ["known", ""])
def test_what_is_put_comes_back_and_is_not_on_the_disk_in_the_clear(store: ZoneStore, known: str) -> None:
    data = b"patient 4711, malignant;" * 100_000
    digest = Digest.of(data)
    blob = store.put(iter([data[:100], data[100:]]), expect=digest if known else None, max_size=len(data))
    assert blob == StoredBlob(digest, len(data))
    assert store.has(digest)
    assert b"".join(store.chunks(digest)) == data
    assert store.stream(digest).read() == data
    assert store.read(digest, max_size=len(data)) == data
    assert list(store.digests()) == [digest]
    assert b"patient" not in path_of(store, digest).read_bytes()
    assert parts_of(store) == []


@settings(max_examples=25, deadline=None)
@given(size=st.one_of(st.integers(0, 100), st.integers(MIB - 70, MIB + 70), st.integers(2 * MIB - 90, 2 * MIB + 20)))
def test_the_size_is_known_without_decrypting(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    store = ZoneStore.ensure(tmp_path_factory.getbasetemp() / "sizes", "ae-health")
    data = bytes(size)
    blob = store.put([data], expect=Digest.of(data), max_size=size)
    assert blob.size == size == store.size_of(blob.digest) == len(store.read(blob.digest, max_size=size))


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 3 * MIB + 10))
def test_a_read_from_the_middle_is_the_tail_of_the_whole(tmp_path_factory: pytest.TempPathFactory, start: int) -> None:
    store = ZoneStore.ensure(tmp_path_factory.getbasetemp() / "middles", "ae-health")
    data = b"0123456789abcdef" * (3 * MIB // 16)
    digest = Digest.of(data)
    if not store.has(digest):
        store.put([data], expect=digest, max_size=len(data))
    assert b"".join(store.chunks(digest, start=start)) == data[start:]


def test_a_wrong_digest_keeps_nothing(store: ZoneStore) -> None:
    with pytest.raises(VerificationFailed) as refused:
        store.put([b"other"], expect=Digest.of(b"one"), max_size=100)
    assert refused.value.members["found"] == str(Digest.of(b"other"))
    assert not any(store.digests())
    assert not parts_of(store)


def test_too_many_bytes_keep_nothing_and_stop_the_reading(store: ZoneStore) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield bytes(1000)

    with pytest.raises(TooLarge):
        store.put(endless(), max_size=10_500)
    assert len(taken) == 11
    assert not any(store.digests())
    assert not parts_of(store)


def test_a_source_that_breaks_keeps_nothing(store: ZoneStore) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(3 * MIB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put(broken(), max_size=10 * MIB)
    assert not any(store.digests())
    assert not parts_of(store)


@pytest.mark.parametrize("where", [0, 20, 45, MIB + 3, -1])
def test_a_flipped_byte_is_found(store: ZoneStore, where: int) -> None:
    data = os.urandom(2 * MIB)
    digest = store.put([data], expect=Digest.of(data), max_size=len(data)).digest
    path = path_of(store, digest)
    cipher = bytearray(path.read_bytes())
    cipher[where] ^= 1
    path.write_bytes(cipher)
    with pytest.raises(VerificationFailed, match="changed or cut"):
        store.read(digest, max_size=len(data))


@pytest.mark.parametrize("left", [0, 30, 56, MIB, 2 * MIB, -1])
def test_a_cut_file_is_found(store: ZoneStore, left: int) -> None:
    data = os.urandom(2 * MIB)
    digest = store.put([data], expect=Digest.of(data), max_size=len(data)).digest
    path = path_of(store, digest)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(VerificationFailed):
        for _ in store.chunks(digest):
            pass


def test_a_blob_under_another_name_does_not_open(store: ZoneStore) -> None:
    one = store.put([b"one"], expect=Digest.of(b"one"), max_size=3).digest
    other = store.put([b"two"], expect=Digest.of(b"two"), max_size=3).digest
    path_of(store, one).replace(path_of(store, other))
    with pytest.raises(VerificationFailed):
        store.read(other, max_size=3)


def test_a_blob_of_another_zone_does_not_open_even_with_the_same_key(store: ZoneStore, tmp_path: Path) -> None:
    digest = store.put([b"one"], expect=Digest.of(b"one"), max_size=3).digest
    key = tmp_path / "stolen.key"
    key.write_text((store.folder / "zone.key").read_text().replace("ae-health", "ext-de"))
    key.chmod(0o600)
    abroad = ZoneStore.open(store.folder, "ext-de", key_file=key)
    with pytest.raises(VerificationFailed):
        abroad.read(digest, max_size=3)


def test_the_key_is_private_and_one_per_zone(store: ZoneStore) -> None:
    key = store.folder / "zone.key"
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExists):
        ZoneStore.create(store.folder, "ae-health")
    with pytest.raises(Misconfigured, match="belongs to zone 'ae-health'"):
        ZoneStore.open(store.folder, "ext-de")
    key.chmod(0o640)
    with pytest.raises(Misconfigured, match="open to others"):
        ZoneStore.open(store.folder, "ae-health")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "khatim-zone-store/1", "zone": "z", "keyset": {}}'])
def test_a_spoiled_key_is_named_and_no_vendor_error_leaks(tmp_path: Path, text: str) -> None:
    (tmp_path / "zone.key").write_text(text)
    (tmp_path / "zone.key").chmod(0o600)
    with pytest.raises(Misconfigured):
        ZoneStore.open(tmp_path, "z")


def test_a_store_without_a_key_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        ZoneStore.open(tmp_path, "ae-health")
    with pytest.raises(Misconfigured):
        ZoneStore.create(tmp_path, "../elsewhere")


def test_absent_and_deleted_blobs_are_not_found(store: ZoneStore) -> None:
    digest = store.put([b"one"], expect=Digest.of(b"one"), max_size=3).digest
    store.delete(digest)
    assert not store.has(digest)
    for ask in (store.chunks, store.stream, store.size_of, store.delete):
        with pytest.raises(NotFound):
            ask(digest)


def test_a_new_blob_outlives_reopening_and_a_second_put_repairs_it(store: ZoneStore) -> None:
    data = os.urandom(1000)
    digest = store.put([data], expect=Digest.of(data), max_size=1000).digest
    path_of(store, digest).write_bytes(b"spoiled")
    again = ZoneStore.open(store.folder, "ae-health")
    again.put([data], expect=digest, max_size=1000)
    assert again.read(digest, max_size=1000) == data


def test_the_quota_refuses_and_keeps_what_was_there(tmp_path: Path) -> None:
    store = ZoneStore.create(tmp_path, "ae-health", capacity_bytes=3 * MIB)
    data = os.urandom(2 * MIB)
    kept = store.put([data], expect=Digest.of(data), max_size=9 * MIB).digest
    with pytest.raises(StoreFull):
        store.put((os.urandom(64 * 1024) for _ in range(32)), expect=Digest.of(b""), max_size=9 * MIB)
    assert list(store.digests()) == [kept]
    assert parts_of(store) == []
    assert store.read(kept, max_size=9 * MIB) == data


def test_writers_at_the_same_time_stay_inside_the_quota(tmp_path: Path) -> None:
    capacity = 4 * MIB
    store = ZoneStore.create(tmp_path, "ae-health", capacity_bytes=capacity)
    refused: list[Exception] = []

    def write() -> None:
        data = os.urandom(1_200_000)
        try:
            store.put([data], expect=Digest.of(data), max_size=9 * MIB)
        except StoreFull as error:
            refused.append(error)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = sum(path_of(store, digest).stat().st_size for digest in store.digests())
    assert used <= capacity
    assert len(refused) + len(list(store.digests())) == 6
    assert refused
    assert parts_of(store) == []


def test_a_file_size_limit_of_the_system_is_a_full_store(tmp_path: Path) -> None:
    ZoneStore.create(tmp_path, "ae-health")
    child = in_child(
        """
        import resource, sys
        from pathlib import Path
        from khatim.errors import StoreFull
        from runners.zone.store import ZoneStore
        store = ZoneStore.open(Path(sys.argv[1]), "ae-health")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
        try:
            store.put((bytes(65536) for _ in range(100)), max_size=1 << 30)
        except StoreFull as full:
            print("full", list(store.digests()), list((store.folder / "staging").iterdir()))
        """,
        str(tmp_path),
    )
    out, err = child.communicate(timeout=60)
    assert out == "full [] []\n", err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a real file system of 3 MiB (needs the right to mount)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_there_and_nothing_of_the_new(small_disk: Path) -> None:
    store = ZoneStore.create(small_disk, "ae-health")
    kept = store.put([b"kept"], max_size=10).digest
    for expect in (None, Digest.of(b"whatever")):
        with pytest.raises(StoreFull):
            store.put((os.urandom(65536) for _ in range(100)), expect=expect, max_size=1 << 30)
    assert list(store.digests()) == [kept]
    assert parts_of(store) == []
    assert store.read(kept, max_size=10) == b"kept"
    small = os.urandom(MIB)
    assert store.has(store.put([small], expect=Digest.of(small), max_size=MIB).digest)


def test_a_writer_killed_in_the_middle_leaves_nothing_to_see(store: ZoneStore) -> None:
    child = in_child(
        """
        import sys, time
        from pathlib import Path
        from runners.zone.store import ZoneStore
        store = ZoneStore.open(Path(sys.argv[1]), "ae-health")
        def slow():
            for _ in range(4):
                yield bytes(1 << 20)
            print("written", flush=True)
            time.sleep(60)
        store.put(slow(), max_size=1 << 30)
        """,
        str(store.folder),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    assert len(parts_of(store)) == 1
    ZoneStore.open(store.folder, "ae-health")
    assert len(parts_of(store)) == 1, "a sweep must not touch what a living process writes"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(store.digests()) == []
    ZoneStore.open(store.folder, "ae-health")
    assert parts_of(store) == []


def test_killed_at_any_moment_a_blob_is_whole_or_absent(tmp_path: Path) -> None:
    """Kill a busy writer ten times; every blob that can be seen must verify."""
    store = ZoneStore.create(tmp_path, "ae-health")
    code = """
        import os, sys
        from pathlib import Path
        from runners.zone.store import ZoneStore
        store = ZoneStore.open(Path(sys.argv[1]), "ae-health")
        print("ready", flush=True)
        while True:
            store.put([os.urandom(300_000)], max_size=1 << 20)
    """
    for round_ in range(10):
        child = in_child(code, str(tmp_path))
        assert child.stdout is not None
        child.stdout.readline()
        threading.Event().wait(0.02 + 0.013 * round_)
        child.kill()
        child.communicate()
    store = ZoneStore.open(tmp_path, "ae-health")
    assert parts_of(store) == []
    seen = list(store.digests())
    assert seen
    for digest in seen:
        assert len(store.read(digest, max_size=300_000)) == 300_000


def test_a_large_blob_is_not_held_in_memory(store: ZoneStore) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blob = store.put((bytes(CHUNK) for _ in range(200)), max_size=1 << 30)
    assert sum(len(chunk) for chunk in store.chunks(blob.digest)) == 200 * CHUNK
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
