# SPDX-License-Identifier: Apache-2.0
"""The application: every route of every floor behind one front door."""

from __future__ import annotations

import functools

from fastapi import FastAPI
from starlette.middleware import Middleware

import audit.routes
import governance.reports.routes
import governance.routes
import registry.routes
import runners.routes
from audit.showing import Showing
from audit.transaction import Ledger
from gateway import (
    access_routes,
    archive_routes,
    composition,
    exception_routes,
    history_routes,
    hold_routes,
    housekeeping,
    incident_routes,
    people_routes,
    policy_routes,
    problems,
    service_account_routes,
    service_routes,
    sigstore_routes,
    stream_routes,
    streaming,
    waiting_routes,
)
from gateway.certifying import Certifier
from gateway.composition import Parts
from gateway.console import language, pages, visits
from gateway.middleware import FrontDoor, HeadOfLedger
from gateway.policy_following import Keeper
from gateway.publishing import witness_policy_of
from gateway.sign_in import Authenticator
from gateway.sources import Sources
from governance.reports.engagements import Desk
from governance.streams import Streams
from khatim import settings as khatim_settings
from policies.loading import PolicyBundle
from registry.erasure import Eraser
from registry.notary import Notary
from registry.signing import trust
from registry.signing.office import Office
from runners.agents import TokenIssuer

VERSION = "0.1.0"


def create(parts: Parts) -> FastAPI:
    """Assemble the application from its parts."""
    app = FastAPI(
        title="Khatim",
        version=VERSION,
        summary="Governance-first model registry and compliance service",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems.DESCRIBED,
        lifespan=housekeeping.lifespan(parts),
        middleware=[Middleware(HeadOfLedger), Middleware(FrontDoor, max_body=parts.settings.max_body)],
    )
    app.state.authenticate = parts.authenticator
    _hand_out(app, parts)
    app.state.keeper = Keeper(parts, functools.partial(_hand_out, app))
    app.state.error_page = visits.error_page
    problems.install(app)
    for module in (
        audit.routes, registry.routes, governance.routes, governance.reports.routes, runners.routes, service_routes,
        people_routes, hold_routes, stream_routes, sigstore_routes, exception_routes, access_routes,
        archive_routes, history_routes, policy_routes, waiting_routes, incident_routes, service_account_routes,
    ):  # fmt: skip
        app.include_router(module.router)
    app.include_router(pages.router)
    return app


def _hand_out(app: FastAPI, parts: Parts) -> None:
    """Let routes depend on *parts*, by type: all at once, so that no request meets some of two kinds."""
    app.state.parts = {
        Ledger: parts.ledger,
        Showing: Showing(parts.settings.ledger.public, witness_policy_of(parts.settings)),
        PolicyBundle: parts.rules,
        Notary: parts.notary,
        TokenIssuer: parts.issuer,
        Office: parts.office,
        Certifier: Certifier(parts.ledger, parts.authenticator, parts.office),
        Authenticator: parts.authenticator,
        Desk: _desk(parts),
        Eraser: parts.eraser,
        Sources: parts.sources,
        Streams: _streams(parts),
        Parts: parts,
    }


def _streams(parts: Parts) -> Streams:
    """Return what streams are judged with."""
    settings = parts.settings
    origin = parts.instance.ledger_verifier(settings.instance).name
    return Streams(parts.rules.residency, settings.zone, origin, streaming.places_of(settings))


def _desk(parts: Parts) -> Desk:
    """Return what auditors' bundles are made with."""
    settings = parts.settings
    return Desk(
        notary=parts.notary,
        rules=parts.rules,
        trust_config=trust.client_trust_config(parts.office.record, f"http://{settings.host}:{settings.port}"),
        vkey=parts.instance.ledger_verifier(settings.instance).vkey,
        arabic=language.translations("ar").gettext,
        witnesses=witness_policy_of(settings),
    )


def from_environment() -> FastAPI:
    """Build the application of one worker process from ``KHATIM_…`` variables."""
    return create(composition.build(khatim_settings.load()))
