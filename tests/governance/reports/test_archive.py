# SPDX-License-Identifier: Apache-2.0
"""The one spelling of a zip file: any unzip reads it, and no byte of it can change unseen."""

from __future__ import annotations

import random
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.reports import archive, zipform
from governance.reports.archive import Draft
from governance.reports.zipform import Member
from khatim.errors import AlreadyExists, Malformed, VerificationFailed
from khatim.vocabulary import Digest

PART = st.text("abcXYZ019._-", min_size=1, max_size=6).filter(lambda part: not part.startswith("."))
NAMES = st.lists(PART, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=60), max_size=6)
EXAMPLE = {"b/two.txt": b"two", "a.txt": b"one", "b/empty": b""}


def written(files: Mapping[str, bytes], to: Path) -> Path:
    with Draft() as draft:
        for name, data in files.items():
            draft.add(name, data)
        with draft.write() as file:
            to.write_bytes(file.read())
    return to


def place_of(path: Path) -> str:
    with pytest.raises(VerificationFailed) as refused, archive.opened(path):
        pass
    return str(refused.value.members["place"])


@given(FILES, st.randoms(use_true_random=False))
def test_what_goes_in_comes_out_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    shuffled = list(files.items())
    chance.shuffle(shuffled)
    one, other = written(files, folder / "one.zip"), written(dict(shuffled), folder / "other.zip")

    assert one.read_bytes() == other.read_bytes()
    with archive.opened(one) as opened:
        assert {name: opened.read(name) for name in opened.members} == files
    with zipfile.ZipFile(one) as vendor:
        assert vendor.testzip() is None
        assert vendor.namelist() == sorted(files)
        assert {name: vendor.read(name) for name in vendor.namelist()} == files


def test_the_spelling_does_not_change_from_release_to_release(tmp_path: Path) -> None:
    golden = "sha256:88f5275acdf7dd6725d90c7f7b436724ffbc890c39ca216a4ca5bec9e72de90c"

    assert str(Digest.of(written(EXAMPLE, tmp_path / "a.zip").read_bytes())) == golden


@given(FILES.filter(bool), st.data())
def test_no_bit_can_change_unseen(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    path = written(files, tmp_path_factory.mktemp("zip") / "a.zip")
    bent = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(bent) - 1))
    bent[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bent)

    assert place_of(path)


def test_every_byte_of_a_small_file_is_watched(tmp_path: Path) -> None:
    path = written(EXAMPLE, tmp_path / "a.zip")
    whole = path.read_bytes()
    places = set()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        places.add(place_of(path))

    assert {"a.txt", "b/two.txt"} <= places
    assert "zip structure at byte 0" in places


def test_a_changed_content_is_named_and_a_changed_header_placed(tmp_path: Path) -> None:
    path = written(EXAMPLE, tmp_path / "a.zip")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"one", b"onf"))
    assert place_of(path) == "a.txt"

    path.write_bytes(whole[:10] + b"\x01" + whole[11:])  # the time in the first header
    assert place_of(path) == "zip structure at byte 10"


def test_truncated_and_appended_files_are_refused(tmp_path: Path) -> None:
    path = written(EXAMPLE, tmp_path / "a.zip")
    whole = path.read_bytes()
    for bent in (whole[:-1], whole + b"\0", b"\0" + whole, whole[:40], b"", whole + whole):
        path.write_bytes(bent)

        assert place_of(path).startswith("zip structure at byte ")


def test_zips_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as vendor:
        vendor.writestr("a.txt", "one")

    assert place_of(path).startswith("zip structure at byte ")


def spelt(*names: str) -> bytes:
    """Return a file that is spelt as ours are, with empty members of any *names*."""
    members: list[Member] = []
    for name in names:
        members.append(Member(name, 0, 0, Digest.of(b""), members[-1].end if members else 0))
    end = members[-1].end
    return b"".join([*map(zipform.local_header, members), *zipform.directory(members, end)])


@pytest.mark.parametrize(
    "second", ["b", "a", "../b", "/b", "b//c", "b/../c", "b\\c", ".hidden", "b/.c", "c\n", "C:b", "A"]
)
def test_a_name_that_stands_twice_or_leads_outside_is_refused(tmp_path: Path, second: str) -> None:
    path = tmp_path / "spelt.zip"
    path.write_bytes(spelt("a", second))
    if second == "b":
        with archive.opened(path) as opened:
            assert list(opened.members) == ["a", "b"]
    else:
        assert place_of(path).startswith("zip structure at byte ")


def test_a_draft_takes_safe_names_once() -> None:
    with Draft() as draft:
        draft.add("a/b.txt", b"")

        with pytest.raises(AlreadyExists):
            draft.add("a/b.txt", b"")
        for name in ("", "/a", "../a", "a/..", "a//b", "a/", ".a", "a b", "a\\b", "x" * 300, "a:b"):
            with pytest.raises(Malformed):
                draft.add(name, b"")


def test_more_files_than_two_bytes_count_are_read_by_others_too(tmp_path: Path) -> None:
    count = 0x10000 + 5
    path = written({f"{number:06d}": b"" for number in range(count)}, tmp_path / "many.zip")

    with archive.opened(path) as opened:
        assert len(opened.members) == count
    with zipfile.ZipFile(path) as vendor:
        assert len(vendor.namelist()) == count


def test_a_file_beyond_four_gigabytes_is_found_by_others(tmp_path: Path) -> None:
    """The gap before it is a hole in a sparse file; only the records matter here."""
    member = Member("far.txt", 3, zlib.crc32(b"far"), Digest.of(b"far"), (1 << 32) + 7)
    path = tmp_path / "far.zip"
    with path.open("wb") as file:
        file.seek(member.at)
        file.write(zipform.local_header(member) + b"far")
        file.write(b"".join(zipform.directory([member], member.end)))

    with zipfile.ZipFile(path) as vendor:
        assert vendor.read("far.txt") == b"far"


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    assert place_of(tmp_path / "none.zip").endswith("none.zip")
