# SPDX-License-Identifier: Apache-2.0
"""One select each.  Everything that returns one row raises `NotFound` when it is absent or invisible."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Text, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from audit.transaction import Reader
from khatim.errors import Malformed, NotFound
from khatim.vocabulary import Action
from registry.naming import Path, namespace_of
from registry.tables import (
    Alias,
    DatasetVersion,
    Edge,
    FeatureViewVersion,
    Model,
    ModelVersion,
    Placement,
    Statement,
)

Numbered = TypeVar("Numbered", DatasetVersion, FeatureViewVersion, ModelVersion)
PAGE_LIMIT = 200


def encode_cursor(*parts: Any) -> str:
    """Return an opaque keyset cursor."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """Read a cursor whose parts are of these *kinds*; raises `Malformed`."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError) as error:
        raise Malformed("the cursor is not one of ours", advice="Start again without a cursor.") from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise Malformed("the cursor belongs to another list", advice="Start again without a cursor.")
    return parts


def numbered(reader: Reader, table: type[Numbered], path: str, *, for_update: bool = False) -> Numbered:
    """Return the version that *path* names, if the actor may read it."""
    namespace, name, number = Path.numbered(path)
    query = select(table).where(table.namespace == namespace, table.name == name, table.number == number)
    row = reader.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"there is no {table.KIND} {path}")
    reader.require(Action.READ, row.resource)
    found: Numbered = row
    return found


def next_number(reader: Reader, table: type[Numbered], namespace: str, name: str) -> int:
    """Return the next version number; the caller holds the lock of that name."""
    newest = reader.scalar(select(func.max(table.number)).where(table.namespace == namespace, table.name == name))
    return int(newest or 0) + 1


def model(reader: Reader, namespace: str, name: str) -> Model:
    """Return the registered model."""
    row = reader.scalar(select(Model).where(Model.namespace == namespace, Model.name == name))
    if row is None:
        raise NotFound(f"there is no model {namespace}/{name}")
    reader.require(Action.READ, row.resource)
    found: Model = row
    return found


def names_of(reader: Reader, digest: str) -> list[str]:
    """Return the references under which these bytes are known: theirs as an artifact, and versions that hold them."""
    return [f"artifact:{digest}", *(row.ref for row in _holding(reader, digest))]


def owners_of(reader: Reader, digest: str) -> frozenset[str]:
    """Return the namespaces that hold these bytes or made something of them; nothing for who reaches all of them."""
    if not reader.is_bounded:
        return frozenset()
    made = reader.scalars(select(Edge.child).where(Edge.parent == f"artifact:{digest}"))
    return frozenset({row.namespace for row in _holding(reader, digest)} | {namespace_of(ref) for ref in made})


def is_ours(reader: Reader, placed: Placement) -> bool:
    """Whether the actor may read in every namespace that holds the bytes of *placed*."""
    asked = (replace(placed.resource, namespace=one) for one in owners_of(reader, placed.digest))
    return all(reader.may(Action.READ, one) for one in asked)


def _holding(reader: Reader, digest: str) -> list[DatasetVersion | FeatureViewVersion | ModelVersion]:
    held = ModelVersion.manifest.contains({"files": [{"digest": digest}]})
    with reader.whole():
        return [
            *reader.scalars(select(DatasetVersion).where(DatasetVersion.digest == digest)),
            *reader.scalars(select(FeatureViewVersion).where(FeatureViewVersion.digest == digest)),
            *reader.scalars(select(ModelVersion).where((ModelVersion.digest == digest) | held)),
        ]


def made_of(reader: Reader, digest: str) -> list[ModelVersion]:
    """Return the versions that are the manifest *digest*, if the actor may read them; raises `NotFound`."""
    with reader.whole():
        rows = list(reader.scalars(select(ModelVersion).where(ModelVersion.digest == digest).order_by(ModelVersion.id)))
    if not rows:
        raise NotFound(f"no model version has the digest {digest}", advice="Register the base model first.")
    for row in rows:
        reader.require(Action.READ, row.resource)
    return rows


def tier_of(reader: Reader, version: ModelVersion) -> int:
    """Return the risk tier of a version that the actor may read."""
    return int(reader.scalar(select(Model.tier).where(Model.id == version.model_id)))


def models(reader: Reader, *, search: str = "", cursor: str = "", limit: int = 50) -> tuple[list[Model], str | None]:
    """Return one page of the models that the actor may read, ordered by namespace and name, and the next cursor."""
    limit = min(max(limit, 1), PAGE_LIMIT)
    query = select(Model).order_by(Model.namespace, Model.name).limit(limit + 1)
    if search:
        query = query.where((Model.namespace + "/" + Model.name).contains(search.lower(), autoescape=True))
    if cursor:
        query = query.where(tuple_(Model.namespace, Model.name) > tuple_(*decode_cursor(cursor, str, str)))
    found = list(reader.scalars(query))
    following = encode_cursor(found[limit - 1].namespace, found[limit - 1].name) if len(found) > limit else None
    return [row for row in found[:limit] if reader.may(Action.READ, row.resource)], following


def versions_of(reader: Reader, namespace: str, name: str) -> list[ModelVersion]:
    """Return the versions of a model that the actor may read, newest first."""
    query = select(ModelVersion).where(ModelVersion.namespace == namespace, ModelVersion.name == name)
    rows = list(reader.scalars(query.order_by(ModelVersion.number.desc())))
    if not rows:
        model(reader, namespace, name)  # a model without versions is there, an unknown one is not
    return [row for row in rows if reader.may(Action.READ, row.resource)]


def newest_versions(reader: Reader, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ModelVersion]:
    """Return the newest version of each of the named models, in one query."""
    if not names:
        return {}
    key = (ModelVersion.namespace, ModelVersion.name)
    query = (
        select(ModelVersion)
        .ext(distinct_on(*key))
        .where(tuple_(*key).in_(names))
        .order_by(*key, ModelVersion.number.desc())
    )
    rows = reader.scalars(query)
    return {(row.namespace, row.name): row for row in rows if reader.may(Action.READ, row.resource)}


def numbered_page(
    reader: Reader, table: type[Numbered], *, cursor: str = "", limit: int = 50
) -> tuple[list[Numbered], str | None]:
    """Return one page of dataset or feature view versions, ordered by name and number, and the next cursor."""
    limit = min(max(limit, 1), PAGE_LIMIT)
    key = (table.namespace, table.name, table.number)
    query = select(table).order_by(*key).limit(limit + 1)
    if cursor:
        query = query.where(tuple_(*key) > tuple_(*decode_cursor(cursor, str, str, int)))
    found = list(reader.scalars(query))
    last = found[limit - 1] if len(found) > limit else None
    following = encode_cursor(last.namespace, last.name, last.number) if last else None
    return [row for row in found[:limit] if reader.may(Action.READ, row.resource)], following


def aliases_of(reader: Reader, namespace: str, name: str) -> list[Alias]:
    """Return the aliases of a model."""
    return list(reader.scalars(select(Alias).where(Alias.namespace == namespace, Alias.model == name)))


def placement(reader: Reader, digest: str, zone: str) -> Placement:
    """Return the copy of *digest* in *zone*.  For whoever may not read what holds the bytes, they are not there."""
    row = reader.scalar(select(Placement).where(Placement.digest == digest, Placement.zone == zone))
    if row is None or not is_ours(reader, row):
        raise NotFound(f"{digest} is not in zone {zone}", advice="Upload it first: khatim artifact upload.")
    found: Placement = row
    return found


def placements_of(reader: Reader, digests: Sequence[str]) -> list[Placement]:
    """Return every copy of the given digests."""
    return list(reader.scalars(select(Placement).where(Placement.digest.in_(digests)).order_by(Placement.placed_at)))


def statements_of(reader: Reader, refs: Sequence[str]) -> list[Statement]:
    """Return the statements about the given references, oldest first."""
    return list(reader.scalars(select(Statement).where(Statement.about.in_(refs)).order_by(Statement.signed_at)))


def made_from(reader: Reader, refs: Sequence[str]) -> list[str]:
    """Return everything that was made from any of *refs*, however far down."""
    down = select(Edge.child).where(Edge.parent.in_(refs)).cte("down", recursive=True)
    down = down.union(select(Edge.child).join(down, Edge.parent == down.c.child))
    return list(reader.scalars(select(down.c.child).order_by(down.c.child)))


def versions_named(reader: Reader, refs: Sequence[str]) -> list[ModelVersion]:
    """Return the model versions of these references that the actor may read."""
    paths = [ref.partition(":")[2] for ref in refs]
    path = ModelVersion.namespace + "/" + ModelVersion.name + "@" + cast(ModelVersion.number, Text)
    rows = reader.scalars(select(ModelVersion).where(path.in_(paths)).order_by(ModelVersion.id)) if paths else ()
    return [row for row in rows if reader.may(Action.READ, row.resource)]


def edges_above(reader: Reader, ref: str) -> list[Edge]:
    """Return every edge on the way from *ref* to its roots."""
    above = select(Edge.child, Edge.parent, Edge.role).where(Edge.child == ref).cte("above", recursive=True)
    above = above.union(select(Edge.child, Edge.parent, Edge.role).join(above, Edge.child == above.c.parent))
    return [Edge(child=row.child, parent=row.parent, role=row.role) for row in reader.rows(select(above))]
