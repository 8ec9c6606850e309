# SPDX-License-Identifier: Apache-2.0
"""The manifest of a model version: its files with roles and formats, and the versions it stands on, by digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.canonical import canonical
from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing import oms


def manifest_of(files: Iterable[Mapping[str, Any]], bases: Sequence[str] = ()) -> dict[str, Any]:
    """Return the manifest: files in order of path, base versions in order.  Raises `Malformed` for unsafe paths."""
    listed = sorted((dict(file) for file in files), key=lambda file: str(file["path"]))
    paths = [str(file["path"]) for file in listed]
    for path in paths:
        oms.checked_path(path)  # what could not be signed cannot be registered
    if len(set(paths)) != len(paths):
        raise Malformed("a path stands twice in the manifest")
    return {"files": listed, "bases": sorted(set(bases))}


def digest_of(manifest: Mapping[str, Any]) -> Digest:
    """Return the digest that names a model version: over the canonical manifest (RFC 8785).

    Formats and scan results are not part of it: they are judgements about the bytes, not the bytes.
    """
    files = [{key: file[key] for key in ("path", "digest", "size", "role")} for file in manifest["files"]]
    return Digest.of(canonical({"files": files, "bases": list(manifest["bases"])}))
