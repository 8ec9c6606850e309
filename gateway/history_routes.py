# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of aliases and of what was in production."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from governance import aliases, history
from khatim.vocabulary import Stage
from khatim.wire import answers, requests
from khatim.wire import history as wire
from registry.routes import Pen, Rules

router = APIRouter(prefix="/v1", tags=["governance"], route_class=SealedRoute)


@router.put("/models/{namespace}/{name}/aliases/{alias}")
def set_alias(  # noqa: PLR0913, PLR0917 - a model's name, an alias, and what decides
    tx: Tx, rules: Rules, pen: Pen, namespace: str, name: str, alias: str, body: requests.SetAlias
) -> answers.Alias:
    """Point an alias at a version; a protected one only at what may be served."""
    path = f"{namespace}/{name}@{body.number}"
    return answers.Alias.model_validate(aliases.move(tx, path, alias, because=body.because, notary=pen, rules=rules))


@router.get("/models/{namespace}/{name}/aliases/{alias}/history")
def alias_history(reader: Read, namespace: str, name: str, alias: str) -> answers.Page[wire.AliasMove]:
    """List where an alias pointed, newest first."""
    moves = history.moves_of(reader, namespace, name, alias)
    return answers.Page(items=[wire.AliasMove.model_validate(one) for one in moves])


@router.get("/models/{namespace}/{name}/history")
def stage_history(
    reader: Read, namespace: str, name: str, stage: Stage = Stage.PRODUCTION, at: datetime | None = None
) -> answers.Page[wire.StagePeriod]:
    """List which versions stood in a stage, since when and by whom, newest first; with `at`, those that stood then."""
    return answers.Page(items=history.stages_of(reader, namespace, name, stage=stage, at=at))
