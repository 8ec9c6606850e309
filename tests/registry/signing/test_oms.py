# SPDX-License-Identifier: Apache-2.0
"""Model signatures: the files are exactly those that were signed."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed, SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import oms, statements
from registry.signing.statements import Statement

FILES = [("config.json", Digest.of(b"{}")), ("weights/model.onnx", Digest.of(b"onnx"))]

parts = st.text("ab.-_0", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
listings = st.dictionaries(paths, st.binary(max_size=4).map(Digest.of), min_size=1, max_size=6).map(
    lambda found: list(found.items())
)


def signed(files: list[oms.File] = FILES) -> Statement:
    return statements.parse(oms.oms_statement("malignancy", files))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model/weights").mkdir(parents=True)
    (tmp_path / "model/config.json").write_bytes(b"{}")
    (tmp_path / "model/weights/model.onnx").write_bytes(b"onnx")
    return tmp_path / "model"


def test_a_folder_of_the_signed_files_holds(folder: Path) -> None:
    oms.check_folder(signed(), folder)


@given(listings)
def test_files_hold_in_whatever_order_they_are_found(files: list[oms.File]) -> None:
    oms.check_files(signed(files), reversed(files))


@given(files=listings, data=st.data())
def test_any_single_difference_is_named(files: list[oms.File], data: st.DataObject) -> None:
    statement = signed(files)
    path, digest = data.draw(st.sampled_from(files))
    other = [file for file in files if file[0] != path]
    extra = (path + "~", digest)

    for found, word in (
        (other, "missing"),
        ([*other, (path, Digest.of(b"other than short"))], "changed"),
        ([*files, extra], "extra"),
    ):
        with pytest.raises(SignatureInvalid) as refusal:
            oms.check_files(statement, found)
        assert refusal.value.members[word] == ([extra[0]] if word == "extra" else [path])


def test_a_symbolic_link_is_refused_even_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"{}")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "same")

    with pytest.raises(VerificationFailed, match=r"config\.json.*symbolic link"):
        oms.check_folder(signed(), folder)


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "weights").rename(tmp_path / "elsewhere")
    (folder / "weights").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(VerificationFailed, match=r"weights.*symbolic link"):
        oms.check_folder(signed(), folder)


def test_a_pipe_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    with pytest.raises(VerificationFailed, match=r"pipe.*not an ordinary file"):
        oms.check_folder(signed(), folder)


@pytest.mark.parametrize("names", [["extra.bin"], ["weights"], [".git", "../up"], ["/etc"], [""], [1], "weights", {}])
def test_a_statement_that_asks_to_ignore_more_than_git_and_signatures_is_refused(names: object, folder: Path) -> None:
    """model_signing believes the list: whatever lay there would pass with it."""
    with pytest.raises(SignatureInvalid, match=r"ignore|not a relative path"):
        oms.check_folder(forged(predicate__serialization__ignore_paths=names), folder)


def test_what_a_statement_may_ask_to_ignore_is_not_ignored_either(folder: Path) -> None:
    statement = forged(predicate__serialization__ignore_paths=[".git", ".github", "model.sig"])
    oms.check_folder(statement, folder)
    (folder / ".git").mkdir()
    (folder / ".git" / "hook").write_bytes(b"smuggled")

    with pytest.raises(SignatureInvalid) as refusal:
        oms.check_folder(statement, folder)
    assert refusal.value.members["extra"] == [".git/hook"]


def test_only_the_caller_says_what_lies_beside(folder: Path) -> None:
    (folder / "model.sig").write_text("bundle")

    oms.check_folder(signed(), folder, besides=frozenset({"model.sig"}))
    with pytest.raises(SignatureInvalid, match=r"extra model\.sig"):
        oms.check_folder(signed(), folder)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up", "a/../b", "./a", "a//b", "a/", "", "a\\b", "a\0b", "a\nb", "\udc80"]
)
def test_a_path_that_leaves_the_folder_or_is_spelt_oddly_cannot_be_signed(path: str) -> None:
    with pytest.raises(Malformed):
        oms.oms_statement("m", [(path, Digest.of(b""))])


def test_two_names_that_a_careless_file_system_confuses_cannot_be_signed() -> None:
    with pytest.raises(Malformed, match="letter case"):
        oms.oms_statement("m", [("Config.json", Digest.of(b"1")), ("config.json", Digest.of(b"2"))])


def forged(**changes: Any) -> Statement:
    body = json.loads(signed().payload)
    for path, value in changes.items():
        target = body
        *way, last = path.split("__")
        for key in way:
            target = target[key]
        target[last] = value
    return statements.parse(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predicateType": statements.TEST_RESULT}, "not a model signature"),
        ({"predicate__resources": []}, "no files"),
        ({"predicate__serialization__allow_symlinks": True}, "symbolic links"),
        ({"predicate__serialization__hash_type": "blake2"}, "SHA-256"),
        ({"predicate__serialization__shard_size": 1}, "shard_size"),
        ({"predicate__resources": [{"name": "x", "algorithm": "sha256", "digest": "0" * 64}]}, "digest of the model"),
        ({"predicate__resources": [{"name": "x", "algorithm": "sha1", "digest": "0" * 40}]}, "not under SHA-256"),
    ],
)
def test_a_model_signature_in_another_form_is_refused(changes: dict[str, Any], said: str, folder: Path) -> None:
    with pytest.raises(SignatureInvalid, match=said):
        oms.check_folder(forged(**changes), folder)


def listing(*names: str, algorithm: str = "sha256") -> Statement:
    """Return a signature over files of these names in this order, with the digest of the model that belongs to it."""
    digests = [Digest.of(name.encode(errors="surrogatepass")) for name in names]
    body = json.loads(signed().payload)
    body["predicate"]["resources"] = [
        {"name": name, "algorithm": algorithm, "digest": digest.hex}
        for name, digest in zip(names, digests, strict=True)
    ]
    whole = Digest.of(b"".join(bytes.fromhex(digest.hex) for digest in digests))
    body["subject"][0]["digest"]["sha256"] = whole.hex
    return statements.parse(json.dumps(body).encode())


def test_the_listing_itself_is_read() -> None:
    assert [name for name, _ in oms.files_of(listing("a/b", "a.txt", "b"))] == ["a/b", "a.txt", "b"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (listing("../up"), "not a relative path"),
        (listing("a/../../up"), "not a relative path"),
        (listing("/etc/passwd"), "not a relative path"),
        (listing("a\\b"), "not a relative path"),
        (listing("./a"), "not a relative path"),
        (listing("a//b"), "not a relative path"),
        (listing("a\u0000b"), "not a relative path"),
        (listing("a", "a"), "same name"),
        (listing("A", "a"), "letter case"),
        (listing("Stra\u00dfe", "strasse"), "letter case"),
        (listing("e\u0301.bin", "\u00e9.bin"), "same name"),
        (listing("b", "a"), "not in order"),
        (listing("a.txt", "a/b"), "not in order"),
        (listing("a", algorithm="blake2b"), "not under SHA-256"),
    ],
    ids=itertools.count(),
)
def test_a_listing_that_a_file_system_could_read_otherwise_is_refused(statement: Statement, said: str) -> None:
    """Climbing, absolute and odd paths, names given twice or alike, another order, another hash."""
    with pytest.raises(Malformed, match=said):
        oms.files_of(statement)


def test_the_order_is_that_of_path_components() -> None:
    """`model_signing` sorts so; the digest of the model depends on it."""
    one, two = Digest.of(b"1"), Digest.of(b"2")
    root = oms.root_digest([("a.txt", two), ("a/b", one)])

    assert root == Digest.of(bytes.fromhex(one.hex) + bytes.fromhex(two.hex))
