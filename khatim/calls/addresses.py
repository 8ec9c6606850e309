# SPDX-License-Identifier: Apache-2.0
"""From what people write (``oncology/malignancy@1``) to where it is: ``/v1/models/oncology/malignancy/versions/1``.

A reference as the ledger writes it (``version:oncology/malignancy@1``) is understood as well, so that what a job made
can be handed on as it is.
"""

from __future__ import annotations

import re
import uuid

from khatim.errors import Malformed

_NAME = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_PLAIN = re.compile(rf"({_NAME})/({_NAME})\Z")
_NUMBERED = re.compile(rf"({_NAME})/({_NAME})@([1-9][0-9]{{0,8}})\Z")
_COLLECTIONS = {"dataset": "datasets", "features": "features", "version": "models"}


def split(name: str, kind: str = "model") -> tuple[str, str]:
    """Return namespace and name of ``namespace/name``; raises `Malformed`."""
    found = _PLAIN.match(_bare(name, kind))
    if not found:
        raise Malformed(f"not the name of a {kind}: {name[:120]!r}", advice="Write namespace/name, as oncology/wdbc.")
    return found[1], found[2]


def numbered(path: str, kind: str = "version") -> str:
    """Return ``namespace/name@number`` without the kind that may stand before it; raises `Malformed`."""
    bare = _bare(path, kind)
    if not _NUMBERED.match(bare):
        raise Malformed(
            f"not a {kind} with its number: {path[:120]!r}", advice="Write namespace/name@number, as oncology/wdbc@1."
        )
    return bare


def model(name: str) -> str:
    """Return where a registered model is."""
    namespace, plain = split(name)
    return f"/v1/models/{namespace}/{plain}"


def version(path: str, kind: str = "version") -> str:
    """Return where a numbered version is: of a model, a dataset or a feature view."""
    name, _, number = numbered(path, kind).partition("@")
    return f"/v1/{_COLLECTIONS[kind]}/{name}/versions/{number}"


def identified(collection: str, name: str | uuid.UUID) -> str:
    """Return where the thing with an id is (``jobs``, ``findings``, …); ``job:<id>`` is understood as well."""
    text = str(name).rpartition(":")[2]
    try:
        return f"/v1/{collection}/{uuid.UUID(text)}"
    except ValueError as error:
        raise Malformed(f"not an id: {str(name)[:120]!r}", advice=f"Look it up in the list of {collection}.") from error


def _bare(name: str, kind: str) -> str:
    return name.strip().removeprefix(f"{kind}:")
