# SPDX-License-Identifier: Apache-2.0
"""The console's addresses.  `router` is mounted by the application, `visits.error_page` renders its problems."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import RedirectResponse

from audit.http import Tx
from gateway.console import addresses, assets, decisions, listings, signing_in, version_page
from gateway.console.deciding import VALID_DAYS
from gateway.console.genuine import GENUINE
from gateway.console.visits import Visiting, Wiring
from khatim.vocabulary import Role, Stage

VERSION = addresses.MODELS + "/{namespace}/{name}/versions/{number}"
Text = Annotated[str, Form(max_length=5000)]
router = APIRouter(include_in_schema=False)
router.include_router(signing_in.router)


@router.get("/")
@router.get(addresses.ROOT)
def home() -> Response:
    """Go to the models."""
    return RedirectResponse(addresses.MODELS, 303)


@router.get(addresses.STATIC + "/{path:path}")
def static(path: str) -> Response:
    """Serve a static file."""
    found = assets.static_asset(path)
    return Response(found.body, media_type=found.media_type, headers=found.headers)


@router.get(addresses.MODELS)
def models(
    visit: Visiting, q: Annotated[str, Query(max_length=200)] = "", after: Annotated[str, Query(max_length=1000)] = ""
) -> Response:
    """Show the models."""
    context = listings.models_page(visit.reader, visit.chrome, visit.wiring.rules, search=q, after=after)
    return visit.page("models", context)


@router.get(VERSION)
def version(visit: Visiting, namespace: str, name: str, number: int) -> Response:
    """Show one version."""
    path, wiring = f"{namespace}/{name}@{number}", visit.wiring
    context = version_page.version_page(
        visit.reader, visit.chrome, path, notary=wiring.notary, rules=wiring.rules, vault=wiring.vault
    )
    return visit.page("version", context)


@router.post(VERSION + "/approvals", dependencies=[GENUINE])
def approve(  # noqa: PLR0913, PLR0917 - the fields of the form
    tx: Tx,
    wiring: Wiring,
    namespace: str,
    name: str,
    number: int,
    role: Annotated[Role, Form()],
    meaning: Text,
    seen: Annotated[str, Form(max_length=100)],
    comment: Text = "",
    days: Annotated[int, Form(ge=1, le=1096)] = VALID_DAYS,
) -> Response:
    """Approve one version."""
    given = {"role": role, "meaning": meaning, "comment": comment, "days": days, "seen": seen}
    decisions.approve(tx, f"{namespace}/{name}@{number}", **given, notary=wiring.notary, rules=wiring.rules)  # type: ignore[arg-type]  # as named above
    return _back(namespace, name, number, "approved")


@router.post(VERSION + "/promotion", dependencies=[GENUINE])
def promote(  # noqa: PLR0913, PLR0917 - the fields of the form
    tx: Tx, wiring: Wiring, namespace: str, name: str, number: int, to: Annotated[Stage, Form()], because: Text
) -> Response:
    """Promote one version."""
    path = f"{namespace}/{name}@{number}"
    decisions.promote(tx, path, to=to, because=because, notary=wiring.notary, rules=wiring.rules)
    return _back(namespace, name, number, "promoted")


@router.get(addresses.LEDGER)
def ledger(
    visit: Visiting,
    kind: Annotated[str, Query(max_length=100)] = "",
    resource: Annotated[str, Query(max_length=300)] = "",
    refusals: bool = False,  # noqa: FBT001, FBT002 - a box that is ticked or not
    before: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Show the ledger."""
    asked = {"kind": kind, "resource": resource, "only_refusals": refusals, "before": before}
    return visit.page("ledger", listings.ledger_page(visit.reader, visit.chrome, visit.wiring.vault, **asked))  # type: ignore[arg-type]  # as named above


@router.get(addresses.LEDGER + "/{index}")
def entry(visit: Visiting, index: int) -> Response:
    """Show one entry."""
    return visit.page("entry", listings.entry_page(visit.reader, visit.chrome, visit.wiring.vault, index))


def _back(namespace: str, name: str, number: int, done: str) -> Response:
    return RedirectResponse(addresses.query(addresses.version(namespace, name, number), done=done), 303)
