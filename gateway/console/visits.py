# SPDX-License-Identifier: Apache-2.0
"""One request to the console: whose it is, in which language and theme, and how its page goes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from audit.http import Read, part
from audit.transaction import Reader
from gateway import backends
from gateway.composition import Parts
from gateway.console import addresses, contexts, language, listings, parts, rendering, sessions
from gateway.console.assets import PAGE_HEADERS
from gateway.console.labels import mark
from khatim.errors import Forbidden, KhatimError, LinkUsed, Refused, TokenExpired, Unauthenticated
from khatim.vocabulary import NOBODY, Actor, ActorKind
from registry import people

Wiring = Annotated[Parts, Depends(part(Parts))]
LANGUAGE_COOKIE, THEME_COOKIE = "khatim_lang", "khatim_theme"
_YEAR = 365 * 24 * 3600
_SHOWN_MEMBERS = ("rule", "legal_basis", "certainty", "role", "movement", "from_zone", "to_zone", "finding", "action")
_UNAUTHENTICATED = 401
NOTICES = {
    "approved": mark("Your approval is signed and recorded."),
    "promoted": mark("The version is in production now."),
}


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    reader: Reader
    wiring: Parts
    chrome: contexts.Chrome

    def page(self, name: str, context: contexts.Context) -> Response:
        """Answer with a page."""
        return page(self.request, name, context)


def visit(request: Request, reader: Read, wiring: Wiring) -> Visit:
    """Return the visit of a signed-in person; raises `Unauthenticated` for anybody else."""
    if reader.actor.kind is not ActorKind.PERSON:
        raise Unauthenticated("sign in first")
    name = people.names(reader, [reader.actor.ref], wiring.vault).get(reader.actor.ref, "")
    return Visit(request, reader, wiring, chrome_of(request, wiring, reader.actor, name))


Visiting = Annotated[Visit, Depends(visit)]


def chrome_of(request: Request, wiring: Parts, actor: Actor = NOBODY, name: str = "") -> contexts.Chrome:
    """Return what stands around a page of *actor*, whose name is *name*."""
    here = _here(request)
    notice = NOTICES.get(request.query_params.get("done", ""))
    return contexts.Chrome(
        here=addresses.query(here, lang=None, theme=None, done=None),
        instance=f"ledger.{wiring.settings.instance}.khatim",
        zone=wiring.settings.zone,
        is_local_mode=wiring.settings.is_local,
        who=parts.Who(actor.ref, name) if actor.is_somebody else None,
        roles=tuple(sorted(actor.roles)),
        sees_ledger=listings.sees_ledger(wiring.rules.access, actor),
        csrf=_csrf(request, wiring),
        notice=contexts.Notice(is_done=True, text=notice) if notice else None,
        is_degraded=bool(backends.degraded_of(wiring.settings)),
        disk=wiring.ledger.reserve.look().pressure,
    )


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _csrf(request: Request, wiring: Parts) -> str:
    try:
        return wiring.authenticator.csrf_token(wiring.authenticator.session_claims(request))
    except Unauthenticated:
        return ""


def page(request: Request, name: str, context: contexts.Context, status: int = 200) -> Response:
    """Render a page in the language and theme that the request asks for, and remember a choice that it made."""
    asked, cookies = request.query_params, request.cookies
    lang = language.chosen_language(
        query=asked.get("lang", ""),
        cookie=cookies.get(LANGUAGE_COOKIE, ""),
        accept=request.headers.get("accept-language", ""),
    )
    theme = language.chosen_theme(query=asked.get("theme", ""), cookie=cookies.get(THEME_COOKIE, ""))
    html = rendering.render(name, context, lang=lang, theme=theme)
    response = HTMLResponse(html, status, headers={**PAGE_HEADERS, "Content-Language": lang})
    secure = request.url.scheme == "https"
    if "lang" in asked:
        response.set_cookie(LANGUAGE_COOKIE, lang, max_age=_YEAR, samesite="lax", secure=secure)
    if "theme" in asked:  # a script of ours changes it as well
        response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, samesite="lax", secure=secure)
    return response


def error_page(request: Request, error: KhatimError) -> Response:
    """Show *error* to a person: on the sign-in page what is wrong with a link, else the way there, else the problem."""
    wiring: Parts = request.app.state.parts[Parts]
    if isinstance(error, Unauthenticated) and request.url.path in {addresses.SIGN_IN, addresses.CALLBACK}:
        return _bad_link(request, wiring, error)
    if isinstance(error, Unauthenticated) and request.method in ("GET", "HEAD"):
        response = RedirectResponse(addresses.query(addresses.SIGN_IN, then=_here(request)), 303)
        sessions.forget(response)
        return response
    try:
        actor, name = wiring.authenticator.visitor(request)
        chrome = chrome_of(request, wiring, actor, name)
    except KhatimError:  # nobody's, or the database is what went wrong: the page comes all the same
        chrome = chrome_of(request, wiring)
    is_form = request.method == "POST"
    context = contexts.ErrorPage(
        chrome=chrome,
        status=error.status,
        title=error.title(),
        detail=error.detail,
        advice=error.advice,
        slug=error.slug(),
        request_id=str(request.scope.get("khatim.request_id", "")),
        members=tuple((key, str(error.members[key])) for key in _SHOWN_MEMBERS if error.members.get(key)),
        is_recorded=isinstance(error, Refused) and chrome.who is not None and not _is_csrf(error),
        back=urlsplit(request.url.path).path.rpartition("/")[0] if is_form and "/versions/" in request.url.path else "",
    )
    return page(request, "error", context, error.status)


def _is_csrf(error: KhatimError) -> bool:
    """Whether the form was refused before anything was asked: such a refusal is no fact about the registry."""
    return isinstance(error, Forbidden) and str(error.members.get("rule", "")).startswith("csrf/")


def _bad_link(request: Request, wiring: Parts, error: Unauthenticated) -> Response:
    state: Literal["used", "expired", "invalid", "refused"] = "invalid"
    if request.url.path == addresses.CALLBACK:
        state = "refused"
    elif isinstance(error, LinkUsed):
        state = "used"
    elif isinstance(error, TokenExpired):
        state = "expired"
    return page(request, "sign_in", sign_in_context(request, wiring, state, why=error.detail), _UNAUTHENTICATED)


def sign_in_context(
    request: Request,
    wiring: Parts,
    state: Literal["ask", "used", "expired", "invalid", "refused"],
    *,
    then: str = "",
    why: str = "",
) -> contexts.SignInPage:
    """Return the sign-in page of this installation; afterwards the person goes to *then*."""
    provider, chrome = wiring.authenticator.provider, chrome_of(request, wiring)
    if provider is None:
        return contexts.SignInPage(chrome, state)
    has_client, is_out = bool(provider.settings.client_id), "out" in request.query_params
    return contexts.SignInPage(
        chrome,
        state,
        provider=urlsplit(provider.settings.issuer).netloc,
        begin=addresses.query(addresses.BEGIN, then=then) if has_client else "",
        why=why if state == "refused" else "",
        is_out=is_out,
        end_session=provider.end_session() if is_out and has_client else "",
    )
