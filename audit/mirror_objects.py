# SPDX-License-Identifier: Apache-2.0
"""A copy of the ledger in an object store (S3 API); a `mirroring.Target`.  Door to boto3, as `audit.worm_objects`.

The objects lie as tlog-tiles wants them served, so a bucket that shows them to the world is a log of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from audit.tiles import CHECKPOINT, ENDORSED
from khatim.errors import Malformed, Unavailable

_PATIENTLY = Config(
    connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 5}, s3={"addressing_style": "path"}
)


class MirrorObjects:
    """A bucket, below a prefix."""

    def __init__(self, url: str, access_key: str, secret_key: str, *, region: str = "") -> None:
        """Take ``https://host[:port]/bucket[/prefix]`` and a credential; raises `Malformed` for another address."""
        parts = urlsplit(url)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        if parts.scheme not in {"http", "https"} or not parts.netloc or not bucket:
            raise Malformed(f"not the address of a bucket: {url[:200]} (https://host/bucket/prefix)")
        self.name = f"bucket {parts.netloc}/{bucket}"
        self._bucket, self._prefix = bucket, f"{prefix.rstrip('/')}/" if prefix else ""
        self._there: frozenset[str] | None = None
        self._store: Any = boto3.client(
            "s3",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region or "us-east-1",
            config=_PATIENTLY,
        )

    def has(self, path: str) -> bool:
        """Whether there is an object at *path*, as of the first question; raises `Unavailable`."""
        if self._there is None:
            self._there = frozenset(self._listed())
        return path in self._there

    def read(self, path: str) -> bytes:
        """Return an object, empty if there is none; raises `Unavailable`."""
        with self._translated():
            try:
                return bytes(self._store.get_object(Bucket=self._bucket, Key=self._prefix + path)["Body"].read())
            except self._store.exceptions.NoSuchKey:
                return b""

    def put(self, path: str, data: bytes) -> None:
        """Store an object, with a checksum that the store compares; raises `Unavailable`."""
        is_note = path in {CHECKPOINT, ENDORSED}
        with self._translated():
            self._store.put_object(
                Bucket=self._bucket,
                Key=self._prefix + path,
                Body=data,
                ContentType="text/plain; charset=utf-8" if is_note else "application/octet-stream",
                # Notes are replaced; what else lies there never changes (C2SP tlog-tiles).
                CacheControl="no-cache" if is_note else "max-age=31536000, immutable",
                ChecksumAlgorithm="SHA256",
            )

    def _listed(self) -> Iterator[str]:
        with self._translated():
            for page in self._store.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix):
                for one in page.get("Contents", ()):
                    yield str(one["Key"]).removeprefix(self._prefix)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as wrong:
            raise Unavailable(f"{self.name} does not answer as it should: {wrong}") from wrong
