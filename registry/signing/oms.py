# SPDX-License-Identifier: Apache-2.0
"""OpenSSF Model Signing: one statement over all files of a model, and the check of files against it.

The format is that of ``model_signing`` 1.x (predicate type ``https://model_signing/signature/v1.0``, method *files*,
SHA-256), so that its command line verifies our signatures unchanged.  The check here is stricter: what the statement
asks to ignore is not ignored, and links and special files are refused.  `model_signing` believes the signer's list of
files to ignore, so a statement whose list goes beyond what that program writes by itself is refused as a whole.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from khatim.errors import Malformed, SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import statements
from registry.signing.encoding import members, text_of
from registry.signing.statements import OMS_SIGNATURE, Statement

File = tuple[str, Digest]
"""A file of a model: its path below the model's folder (POSIX, relative) and its digest."""

_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
# What model_signing leaves out by itself and says so: paths of git, and the signature that lies in the folder.
_LEFT_OUT = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
_SIGNATURES = (".sig", ".sigstore.json")
_NAMED = 5  # how many files an error names before it says "and more"


def checked_path(path: str) -> str:
    """Return *path* if it may name a file of a model; raises `Malformed` for absolute, climbing or odd spellings."""
    parts = path.split("/")
    odd = any(part in ("", ".", "..") for part in parts) or "\\" in path
    if odd or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):
        raise Malformed(f"not a relative path inside the model: {path[:120]!r}")
    return path


def _in_order(files: Iterable[File]) -> list[File]:
    # model_signing sorts by path components, not by text: "a/b" stands before "a.txt".
    listed = sorted(files, key=lambda file: file[0].split("/"))
    spellings = {unicodedata.normalize("NFC", path).casefold() for path, _ in listed}
    if len(spellings) != len(listed):
        raise Malformed("two files of the model have the same name, or differ only in letter case")
    return [(checked_path(path), digest) for path, digest in listed]


def root_digest(files: Iterable[File]) -> Digest:
    """Return the digest that stands for the whole model: SHA-256 over the files' digests in order of their paths."""
    return Digest.of(b"".join(bytes.fromhex(digest.hex) for _, digest in _in_order(files)))


def oms_statement(name: str, files: Sequence[File]) -> bytes:
    """Return the statement over *files* of the model *name*; raises `Malformed` without files or for odd paths."""
    listed = _in_order(files)
    if not listed:
        raise Malformed("a model without files cannot be signed")
    resources = [{"name": path, "algorithm": "sha256", "digest": digest.hex} for path, digest in listed]
    predicate = {"serialization": dict(_SERIALIZATION), "resources": resources}
    return statements.statement([(name, root_digest(listed))], OMS_SIGNATURE, predicate)


def files_of(statement: Statement) -> list[File]:
    """Return the files that an OMS statement lists; raises `Malformed` unless it is in the one form we accept."""
    if statement.predicate_type != OMS_SIGNATURE or len(statement.subjects) != 1:
        raise Malformed("this is not a model signature: predicate type or number of subjects differ")
    body = members(statement.predicate, ("serialization", "resources"), (), "the predicate")
    how = members(body["serialization"], tuple(_SERIALIZATION), ("ignore_paths",), "the serialization")
    if any(how[key] != wanted for key, wanted in _SERIALIZATION.items()):
        raise Malformed("only whole files under SHA-256, without symbolic links, are accepted")
    _check_left_out(how.get("ignore_paths", []))
    if not isinstance(body["resources"], list) or not body["resources"]:
        raise Malformed("the model signature lists no files")
    files = [_file(one) for one in body["resources"]]
    if files != _in_order(files):
        raise Malformed("the files of the model signature are not in order")
    if root_digest(files) != statement.subjects[0].digest:
        raise Malformed("the digest of the model is not that of its files")
    return files


def _check_left_out(paths: object) -> None:
    if not isinstance(paths, list):
        raise Malformed("the list of ignored files is not a list")
    for path in paths:
        name = checked_path(text_of(path, "the name of an ignored file"))
        if name not in _LEFT_OUT and not name.endswith(_SIGNATURES):
            raise Malformed(f"the signature asks to ignore {name[:80]!r}: whatever lies there would pass elsewhere")


def _file(value: object) -> File:
    body = members(value, ("name", "algorithm", "digest"), (), "a file of the model signature")
    path = text_of(body["name"], "the name of a file")
    if body["algorithm"] != "sha256":
        raise Malformed(f"{path[:80]!r} is not under SHA-256")
    try:
        return path, Digest(text_of(body["digest"], f"the digest of {path[:80]!r}"))
    except ValueError as wrong:
        raise Malformed(f"the digest of {path[:80]!r} is not 64 lower-case hexadecimal digits") from wrong


def check_files(statement: Statement, found: Iterable[File]) -> None:
    """Check that *found* are exactly the files that the statement lists.

    Raises `SignatureInvalid` naming changed, missing and extra files (members ``changed``, ``missing``, ``extra``).
    """
    try:
        signed, actual = dict(files_of(statement)), dict(_in_order(found))
    except Malformed as wrong:
        raise SignatureInvalid(wrong.detail, advice="Sign the model's files again.") from wrong
    changed = [path for path in signed if path in actual and actual[path] != signed[path]]
    missing = [path for path in signed if path not in actual]
    extra = [path for path in actual if path not in signed]
    parts = [_told(word, paths) for word, paths in (("changed", changed), ("missing", missing), ("extra", extra))]
    if any(parts):
        raise SignatureInvalid(
            f"the files are not those that were signed: {'; '.join(part for part in parts if part)}",
            advice="Fetch the files again, or sign the new ones as a new version.",
            changed=changed,
            missing=missing,
            extra=extra,
        )


def _told(word: str, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{word} {', '.join(paths[:_NAMED])}{more}" if paths else ""


def read_folder(folder: Path, besides: frozenset[str] = frozenset()) -> list[File]:
    """Return path and digest of every file below *folder* but those in *besides* (exact paths: the signature itself).

    Raises `VerificationFailed` naming the first symbolic link, device, socket or pipe, or file that cannot be read.
    """
    if folder.is_symlink():
        raise VerificationFailed(f"{folder.name!r} is a symbolic link, not a folder")
    found: list[File] = []
    pending = [""]
    while pending:
        below = pending.pop()
        for entry in sorted(_entries(folder / below), key=lambda one: one.name):
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif entry.is_file(follow_symlinks=False):
                if path not in besides:
                    found.append((path, _digest(folder / path, path)))
            else:
                what = "a symbolic link" if entry.is_symlink() else "not an ordinary file"
                raise VerificationFailed(f"{path!r} is {what}; a signed model has ordinary files only", file=path)
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as wrong:
        raise VerificationFailed(f"the folder {folder.name!r} cannot be read: {wrong.strerror}") from wrong


def _digest(file: Path, path: str) -> Digest:
    try:
        # O_NOFOLLOW and O_NONBLOCK: what was an ordinary file a moment ago may be a link or a pipe by now.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise VerificationFailed(f"{path!r} is not an ordinary file", file=path)
            return Digest(hashlib.file_digest(opened, "sha256").hexdigest())
    except OSError as wrong:
        raise VerificationFailed(f"{path!r} cannot be read: {wrong.strerror}", file=path) from wrong


def check_folder(statement: Statement, folder: Path, besides: frozenset[str] = frozenset()) -> None:
    """Check that *folder* holds exactly the signed files (and *besides*); raises `VerificationFailed` naming them."""
    check_files(statement, read_folder(folder, besides))
