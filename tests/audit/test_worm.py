# SPDX-License-Identifier: Apache-2.0
"""Copies of checkpoints that nobody overwrites: a folder, and a bucket whose server really refuses."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.worm import Copies, WriteOnceFolder, name_of, note_in, size_in, written
from audit.worm_objects import LockedObjects
from khatim.errors import Misconfigured, Unavailable
from tests.audit.ledgers import ORIGIN, SIGNER

RETAIN = timedelta(days=30)


def note_of(size: int) -> str:
    """Return a signed checkpoint."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, bytes([size % 256]) * 32), SIGNER)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Yield the address of an object store."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def admin(store: str) -> Any:
    """Return the client of somebody who may do what the store lets anyone do."""
    return boto3.client(
        "s3", endpoint_url=f"http://{store}", aws_access_key_id="admin", aws_secret_access_key="secret",
        region_name="us-east-1",
    )  # fmt: skip


@pytest.fixture
def bucket(admin: Any) -> str:
    name = f"worm-{secrets.token_hex(4)}"
    admin.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def locked(store: str, bucket: str) -> LockedObjects:
    return LockedObjects(
        f"http://{store}/{bucket}/khatim", "key", "secret", retain=RETAIN, clock=lambda: datetime.now(UTC),
        region="us-east-1",
    )  # fmt: skip


@pytest.fixture(params=["folder", "objects"])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    if request.param == "folder":
        return WriteOnceFolder(tmp_path)
    return locked(request.getfixturevalue("store"), request.getfixturevalue("bucket"))


def test_the_largest_checkpoint_is_read_back(copies: Copies) -> None:
    assert copies.highest() is None
    for size in (5, 1000, 99):
        assert name_of(size) in copies.put(size, note_of(size), [("tsa", b"token")])
    found = copies.highest()
    assert found == note_of(1000)
    assert open_checkpoint(found, ORIGIN, [SIGNER.verifier]).size == 1000


def test_a_second_copy_does_not_take_the_place_of_the_first(copies: Copies) -> None:
    copies.put(5, note_of(5), [])
    other = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), SIGNER)
    copies.put(5, other, [])
    assert copies.highest() == note_of(5)


def test_an_object_under_lock_is_neither_deleted_nor_replaced(store: str, admin: Any, bucket: str) -> None:
    mine = locked(store, bucket)
    mine.put(5, note_of(5), [("tsa", b"token")])
    key = f"khatim/{name_of(5)}"
    (version,) = [one["VersionId"] for one in admin.list_object_versions(Bucket=bucket)["Versions"]]
    for more in ({}, {"BypassGovernanceRetention": True}):
        with pytest.raises(ClientError, match="AccessDenied"):
            admin.delete_object(Bucket=bucket, Key=key, VersionId=version, **more)
    held = admin.head_object(Bucket=bucket, Key=key, VersionId=version)
    assert held["ObjectLockMode"] == "COMPLIANCE"
    assert held["ObjectLockRetainUntilDate"] > datetime.now(UTC) + RETAIN - timedelta(hours=1)
    assert note_in(admin.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()) == note_of(5)


def test_what_is_put_over_a_copy_or_hides_it_does_not_deceive(store: str, admin: Any, bucket: str) -> None:
    """S3 lets a writer put a newer version over a locked one, or a delete marker; the first version still counts."""
    mine = locked(store, bucket)
    mine.put(5, note_of(5), [])
    key, forged = f"khatim/{name_of(5)}", sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), SIGNER).encode()
    time.sleep(1.1)  # the store tells moments in seconds
    admin.put_object(Bucket=bucket, Key=key, Body=forged)
    assert mine.highest() == note_of(5)
    admin.delete_object(Bucket=bucket, Key=key)
    assert mine.highest() == note_of(5)


def test_a_bucket_without_object_lock_is_refused(store: str, admin: Any) -> None:
    name = f"plain-{secrets.token_hex(4)}"
    admin.create_bucket(Bucket=name)
    with pytest.raises(Misconfigured, match="no object lock"):
        locked(store, name).check()


def test_a_bucket_with_object_lock_passes_the_check(store: str, bucket: str) -> None:
    locked(store, bucket).check()


def test_a_store_that_is_away_is_unavailable() -> None:
    away = LockedObjects(
        "http://127.0.0.1:9/bucket", "key", "secret", retain=RETAIN, clock=lambda: datetime.now(UTC), region="x"
    )
    for ask in (away.highest, lambda: away.put(1, note_of(1), []), away.check):
        with pytest.raises(Unavailable):
            ask()


@pytest.mark.parametrize("url", ["bucket", "http://host", "ftp://host/bucket", "http:///bucket"])
def test_what_is_no_bucket_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured):
        LockedObjects(url, "key", "secret", retain=RETAIN, clock=lambda: datetime.now(UTC))


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(Unavailable):
        WriteOnceFolder(tmp_path).put(1, note_of(1), [])
    with pytest.raises(Unavailable):
        WriteOnceFolder(tmp_path).highest()


def test_a_file_in_the_folder_is_read_only_and_whole(tmp_path: Path) -> None:
    WriteOnceFolder(tmp_path).put(7, note_of(7), [("an authority", b"DER")])
    (file,) = (tmp_path / "checkpoints").iterdir()
    assert (file.name, file.stat().st_mode & 0o222) == ("00000000000000000007.note", 0)
    assert file.read_bytes() == note_of(7).encode() + b"\ntimestamp an_authority REVS\n"
    (tmp_path / "checkpoints" / "notes.txt").write_text("something else")
    assert WriteOnceFolder(tmp_path).highest() == note_of(7)


def test_names_and_copies_are_read_as_they_are_written() -> None:
    assert size_in(name_of(123)) == 123
    assert size_in("checkpoints/00000000000000000007.note.draft") is None
    assert note_in(written(note_of(1), [])) == note_of(1)
    assert note_in(written(note_of(1), [("a", b"x"), ("b", b"y")])) == note_of(1)
