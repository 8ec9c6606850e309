# SPDX-License-Identifier: Apache-2.0
"""The addresses by which people sign in to the console and out of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from gateway.console import addresses, contexts, parts, sessions, visits
from gateway.console.genuine import GENUINE
from gateway.console.visits import Wiring

router = APIRouter(include_in_schema=False)
Link = Annotated[str, Query(max_length=4000)]


@router.get(addresses.SIGN_IN)
def sign_in_page(request: Request, wiring: Wiring, link: Link = "", then: Link = "") -> Response:
    """Show how to sign in, or for whom a link is; it is used up only when the person says so."""
    chrome = visits.chrome_of(request, wiring)
    if not link:
        return visits.page(request, "sign_in", visits.sign_in_context(request, wiring, "ask", then=then))
    claims = sessions.link_claims(request, wiring, link)
    person = parts.Who(str(claims["sub"]), str(claims["name"]))
    return visits.page(request, "sign_in", contexts.SignInPage(chrome, "confirm", link, person))


@router.post(addresses.SIGN_IN)
def sign_in(request: Request, wiring: Wiring, link: Annotated[str, Form(max_length=4000)]) -> Response:
    """Use a link up and start a session."""
    response = RedirectResponse(addresses.MODELS, 303)
    sessions.keep(request, response, wiring, sessions.redeem(request, wiring, link))
    return response


@router.get(addresses.BEGIN)
def begin(request: Request, wiring: Wiring, then: Link = "") -> Response:
    """Send the browser to the identity provider."""
    begun = sessions.provider_of(wiring).begin()
    response = RedirectResponse(begun.url, 303)
    sessions.keep_under_way(request, response, wiring, begun, then)
    return response


@router.get(addresses.CALLBACK)
def complete(request: Request, wiring: Wiring) -> Response:
    """Begin a session for whom the identity provider says it was."""
    session, then = sessions.complete(request, wiring)
    response = RedirectResponse(then, 303)
    sessions.keep(request, response, wiring, session)
    return response


@router.post(addresses.LOGOUT)
def end_by_provider(wiring: Wiring, logout_token: Annotated[str, Form(max_length=8000)]) -> Response:
    """End sessions because the identity provider says so (OpenID Connect Back-Channel Logout 1.0)."""
    sessions.end_by_provider(wiring, logout_token)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.post(addresses.SIGN_OUT, dependencies=[GENUINE])
def sign_out(request: Request, wiring: Wiring) -> Response:
    """End the session of this browser."""
    sessions.end(request, wiring)
    response = RedirectResponse(addresses.query(addresses.SIGN_IN, out=True), 303)
    sessions.forget(response)
    return response
