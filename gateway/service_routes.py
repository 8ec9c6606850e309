# SPDX-License-Identifier: Apache-2.0
"""Routes of the service itself: its health, who the caller is, what zones there are, what its policy says."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy import text

from audit.http import Read, SealedRoute, part
from gateway import backends
from gateway.composition import Parts
from khatim.errors import Unavailable
from khatim.sign_in_settings import OidcSettings
from khatim.vocabulary import Action, Resource
from khatim.wire import answers
from khatim.wire.sign_in import SignIn
from registry import people
from registry.routes import Rules

Wiring = Annotated[Parts, Depends(part(Parts))]
router = APIRouter(tags=["service"], route_class=SealedRoute)


@router.get("/health")
def health(wiring: Wiring) -> dict[str, str]:
    """Say whether the service answers, or only reads (``read-only``: the ledger stands still); without sign-in.

    *signer* says where the signing keys are: ``apart``, ``apart, under the server's account``, or ``in this process``
    as in local mode; *disk* whether there is ``room``, an ``alarm``, or it is ``full``; *signing* that signatures are
    ``degraded``, if they are.  It tells nothing else.  Reads go on while the ledger stands still, so the answer stays
    200.
    """
    status = "read-only" if check_database(wiring) else "ok"
    disk = wiring.ledger.reserve.look().pressure.value
    return {"status": status, "signer": backends.place_of(wiring.office), "disk": disk, **_weaker(wiring)}


@router.get("/v1/signing")
def how_it_signs(reader: Read, wiring: Wiring) -> answers.Signing:
    """Say with what the registry signs, who else dates it, and where its keys are."""
    reader.require(Action.READ, Resource("policy", "signing"))
    return backends.told(wiring.settings, wiring.office)


@router.get("/v1/sign-in")
def how_to_sign_in(wiring: Wiring) -> SignIn:
    """Say how people and their programs sign in here; without sign-in, as it must be."""
    return told_of(wiring.settings.oidc)


@router.get("/v1/whoami")
def whoami(reader: Read, wiring: Wiring) -> answers.Who:
    """Say who the caller is, also to somebody who holds no role yet and must tell an administrator who they are."""
    names = people.names(reader, [reader.actor.ref], wiring.vault)
    return who(reader, names.get(reader.actor.ref, ""), is_local=wiring.settings.is_local)


@router.get("/v1/zones")
def zones(reader: Read, rules: Rules) -> answers.Page[answers.Zone]:
    """List the zones of the policy bundle."""
    reader.require(Action.READ, Resource("policy", "zones"))
    found = [
        answers.Zone(name=z.name, location=z.location, regimes=sorted(z.regimes), family=z.family) for z in rules.zones
    ]
    return answers.Page(items=found)


@router.get("/v1/policy")
def policy(reader: Read, rules: Rules) -> Response:
    """Return the canonical policy bundle; its SHA-256 is the policy digest that decisions and approvals name."""
    reader.require(Action.READ, Resource("policy", "bundle"))
    return Response(rules.canonical, media_type="application/json", headers={"Khatim-Digest": str(rules.digest)})


def _weaker(wiring: Parts) -> dict[str, str]:
    return {"signing": "degraded"} if backends.degraded_of(wiring.settings) else {}


def check_database(wiring: Parts) -> bool:
    """Return whether the ledger is read-only; raise `Unavailable` when the database does not answer."""
    try:
        with wiring.engine.connect() as connection:
            return bool(connection.execute(text("SELECT EXISTS (SELECT FROM ledger_halts)")).scalar())
    except Exception as error:
        raise Unavailable("the database does not answer", advice="Try again in a moment.") from error


def told_of(oidc: OidcSettings | None) -> SignIn:
    """Return what a command line is told of the identity provider; of none in local mode."""
    if oidc is None:
        return SignIn()
    return SignIn(
        mode="oidc", issuer=oidc.issuer, audience=oidc.audience, client_id=oidc.device_client_id,
        scopes=list(oidc.device_scopes), audience_by=oidc.audience_by,
    )  # fmt: skip


def who(reader: Read, display_name: str, *, is_local: bool) -> answers.Who:
    """Describe the caller."""
    actor = reader.actor
    return answers.Who(
        ref=actor.ref,
        kind=actor.kind.value,
        roles=sorted(role.value for role in actor.roles),
        zone=actor.zone,
        display_name=display_name,
        local_mode=is_local,
    )
