# SPDX-License-Identifier: Apache-2.0
"""Copies of checkpoints in an object store with object lock (S3 API, compliance mode).  Door to boto3.

In compliance mode nobody, the account's owner included, deletes or replaces a version before its date.  Whoever may
write can still put a newer version over it or hide it behind a delete marker, so `highest` reads the oldest version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from audit.worm import FOLDER, name_of, note_in, size_in, written
from khatim.errors import Misconfigured, Unavailable

_QUICKLY = Config(
    connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}
)


class LockedObjects:
    """A bucket with object lock, below a prefix; `worm.Copies`."""

    def __init__(  # noqa: PLR0913 - an address, a credential, a promise
        self, url: str, access_key: str, secret_key: str, *, retain: timedelta, clock: Callable[[], datetime],
        region: str = "", must_answer: bool = False,
    ) -> None:  # fmt: skip
        """Take ``https://host[:port]/bucket[/prefix]``, a credential, and for how long a copy is locked."""
        parts = urlsplit(url)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        if parts.scheme not in {"http", "https"} or not parts.netloc or not bucket:
            raise Misconfigured(f"not the address of a bucket: {url} (https://host/bucket/prefix)")
        if retain < timedelta(days=1):
            raise Misconfigured("copies are locked for a day at least")
        self.name = f"bucket {parts.netloc}/{bucket}"
        self.must_answer = must_answer
        self._bucket, self._prefix = bucket, f"{prefix.rstrip('/')}/" if prefix else ""
        self._retain, self._clock = retain, clock
        self._store: Any = boto3.client(
            "s3",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region or "us-east-1",
            config=_QUICKLY,
        )

    def check(self) -> None:
        """Raise `Misconfigured` unless the bucket locks objects: without that a copy would be a copy only."""
        try:
            self._store.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as wrong:
            raise Misconfigured(f"{self.name} has no object lock: {wrong}") from wrong
        except BotoCoreError as wrong:
            raise Unavailable(f"{self.name} does not answer: {wrong}") from wrong

    def put(self, size: int, note: str, tokens: Iterable[tuple[str, bytes]]) -> str:
        """Store the copy under a lock in compliance mode; one that is there stays as it is."""
        key = self._prefix + name_of(size)
        with self._translated():
            if not any(True for _ in self._versions(key)):
                self._store.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=written(note, tokens),
                    ContentType="text/plain; charset=utf-8",
                    ChecksumAlgorithm="SHA256",
                    ObjectLockMode="COMPLIANCE",
                    ObjectLockRetainUntilDate=self._clock() + self._retain,
                )
        return f"{self.name}/{key}"

    def highest(self) -> str | None:
        """Return the note with the largest size, in the version that was stored first."""
        with self._translated():
            found = [one for one in self._versions(f"{self._prefix}{FOLDER}/") if size_in(one["Key"]) is not None]
            if not found:
                return None
            largest = max(one["Key"] for one in found)
            # What was put over a copy later is newer than the copy, and the copy itself cannot be taken away.
            first = min((one for one in found if one["Key"] == largest), key=lambda one: one["LastModified"])
            answer = self._store.get_object(Bucket=self._bucket, Key=largest, VersionId=first["VersionId"])
            return note_in(answer["Body"].read())

    def keep(self, note: str) -> None:
        """Do nothing, as `worm.Copies.keep`."""

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield every version below *prefix*; delete markers are none."""
        pages = self._store.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in pages:
            yield from page.get("Versions", ())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as wrong:
            raise Unavailable(f"{self.name} does not answer as it should: {wrong}") from wrong
