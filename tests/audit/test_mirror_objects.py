# SPDX-License-Identifier: Apache-2.0
"""A copy of the ledger in an object store that plays by the S3 protocol: brought up to date, verified, refused."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import boto3
import pytest

from audit import mirroring
from audit.mirror_objects import MirrorObjects
from audit.sources import FolderSource
from audit.tiles import CHECKPOINT, ENDORSED
from audit.verify import verify_ledger
from audit.worm import written
from khatim.errors import LedgerInvalid, Malformed, Unavailable
from tests.audit.ledgers import SIGNER, MemoryLedger, ledger_of
from tests.audit.test_endorsed import TOKENS
from tests.audit.test_verify_demands import note_at
from tests.audit.test_worm import store

__all__ = ["store"]  # a fixture
LEDGER = ledger_of(600)
ENDORSED_LEDGER = MemoryLedger({**LEDGER.files, ENDORSED: written(note_at(500), TOKENS)})


@pytest.fixture
def admin(store: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=f"http://{store}", aws_access_key_id="admin", aws_secret_access_key="secret",
        region_name="us-east-1",
    )  # fmt: skip


@pytest.fixture
def address(store: str, admin: Any) -> str:
    """Return the address of a folder in a fresh bucket."""
    name = f"mirror-{secrets.token_hex(4)}"
    admin.create_bucket(Bucket=name)
    return f"http://{store}/{name}/ledger/copy"


def mirror(address: str) -> MirrorObjects:
    return MirrorObjects(address, "key", "secret")


def copied(source: MemoryLedger, address: str) -> tuple[int, int]:
    return mirroring.bring_up_to_date(source, mirror(address), lambda *_: None)


def fetched(admin: Any, address: str, folder: Path) -> Path:
    """Bring the copy home, as an auditor would."""
    bucket = address.split("/")[3]
    for one in admin.list_objects_v2(Bucket=bucket)["Contents"]:
        path = folder / one["Key"].removeprefix("ledger/copy/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(admin.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())
    return folder


def test_a_copy_gets_what_it_has_not_got_and_verifies(admin: Any, address: str, tmp_path: Path) -> None:
    assert copied(ledger_of(300), address)[1] == 300
    added, size = copied(ENDORSED_LEDGER, address)
    assert (size, 0 < added < len(LEDGER.files)) == (600, True)
    assert copied(ENDORSED_LEDGER, address) == (0, 600)
    home = fetched(admin, address, tmp_path / "home")
    assert verify_ledger(FolderSource(home), SIGNER.vkey).size == 600
    assert (home / ENDORSED).read_bytes() == ENDORSED_LEDGER.files[ENDORSED]


def test_notes_are_not_cached_and_tiles_are_for_good(admin: Any, address: str) -> None:
    copied(LEDGER, address)
    bucket = address.split("/")[3]
    note = admin.head_object(Bucket=bucket, Key=f"ledger/copy/{CHECKPOINT}")
    tile = admin.head_object(Bucket=bucket, Key="ledger/copy/tile/0/000")
    assert (note["CacheControl"], note["ContentType"]) == ("no-cache", "text/plain; charset=utf-8")
    assert tile["CacheControl"] == "max-age=31536000, immutable"


def test_a_copy_is_never_taken_back(address: str) -> None:
    copied(LEDGER, address)
    with pytest.raises(LedgerInvalid, match="holds 600 entries and the source only 300"):
        copied(ledger_of(300), address)


def test_an_interrupted_copy_goes_on_and_does_not_pass_for_a_ledger(address: str) -> None:
    broken = MemoryLedger({path: data for path, data in LEDGER.files.items() if path != "tile/1/000.p/2"})
    with pytest.raises(LedgerInvalid, match="tile/1/000"):
        copied(broken, address)
    assert mirror(address).read(CHECKPOINT) == b""
    assert copied(LEDGER, address)[1] == 600


@pytest.mark.parametrize("address", ["https://host", "ftp://host/bucket", "https:///bucket"])
def test_what_is_no_bucket_is_refused(address: str) -> None:
    with pytest.raises(Malformed):
        mirror(address)


def test_a_store_that_is_away_or_has_no_such_bucket_is_said(store: str) -> None:
    for address in (f"http://{store}/nothing-there/x", "http://127.0.0.1:9/bucket/x"):
        with pytest.raises(Unavailable, match="does not answer as it should"):
            mirror(address).put("a", b"a")
