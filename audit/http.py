# SPDX-License-Identifier: Apache-2.0
"""How HTTP meets the one mechanism: a route's transaction is committed before its answer leaves.

``scope="function"`` is essential: by default FastAPI ends a yield dependency after the response, so that a failed
commit would already have answered 200.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from audit.answers import Question
from audit.copies import LEDGER, LedgerCopied
from audit.events import reference
from audit.showing import Showing
from audit.transaction import Ledger, Reader, Transaction
from khatim.errors import Unauthenticated, Unavailable
from khatim.vocabulary import Action, Actor

Part = TypeVar("Part")
WAIT_MAX_S = 30.0
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,4})(?=$|[,;\s])")
ACTOR = "khatim.actor"
"""Where a request's scope says who asks, once that is known."""
EVENTS, WAITED = "khatim.events", "khatim.waited"
"""Where it says which events were committed, and which preference to wait was honoured."""


def part(kind: type[Part]) -> Callable[[Request], Coroutine[Any, Any, Part]]:
    """Return a dependency that hands out the part of *kind* that the composition root built."""

    # A coroutine, because FastAPI sends a plain function to a thread and back, which costs more than looking it up.
    async def take(request: Request) -> Part:
        found: Part = request.app.state.parts[kind]
        return found

    return take


def actor_of(request: Request) -> Actor:
    """Return who asks; raises `Unauthenticated` for nobody.  The composition root says how that is known."""
    actor: Actor = request.app.state.authenticate(request)
    if not actor.is_somebody:
        raise Unauthenticated("sign in first")
    request.scope[ACTOR] = actor.ref
    return actor


async def _fingerprint(request: Request) -> str:
    if "idempotency-key" not in request.headers:  # a page's form was read by now, and its stream is empty
        return ""
    content = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    content.update(await request.body())
    return content.hexdigest()


def open_transaction(
    request: Request,
    actor: Annotated[Actor, Depends(actor_of)],
    ledger: Annotated[Ledger, Depends(part(Ledger))],
    fingerprint: Annotated[str, Depends(_fingerprint)],
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Iterator[Transaction]:
    """Open the transaction of one request.

    Once it is committed, the answer names the events that it recorded; with ``Prefer: wait=5`` it is held back, for so
    many seconds at most, until they stand in the ledger.
    """
    with ledger.transaction(actor) as tx:
        if idempotency_key and actor.is_somebody:
            tx.answer_once(Question(actor.ref, idempotency_key, fingerprint))
        yield tx
    request.scope[EVENTS] = [reference(body) for body in tx.said]
    asked = wait_in(request.headers.get("prefer", ""))
    if asked and tx.said:
        with suppress(Unavailable):  # it is committed: that the ledger lags must not look like a failure
            ledger.settle(asked)
            request.scope[WAITED] = f"wait={asked:.0f}"


def open_snapshot(
    actor: Annotated[Actor, Depends(actor_of)], ledger: Annotated[Ledger, Depends(part(Ledger))]
) -> Iterator[Transaction]:
    """Open the transaction of one request that tells what was at one moment, once the ledger has caught up with it.

    Such a request is asked anew each time: an `Idempotency-Key` does not bring back the state of another moment.
    """
    ledger.settle()
    with ledger.transaction(actor, is_snapshot=True) as tx:
        yield tx


def open_reader(
    actor: Annotated[Actor, Depends(actor_of)], ledger: Annotated[Ledger, Depends(part(Ledger))]
) -> Iterator[Reader]:
    """Open the reader of one request."""
    with ledger.reading(actor) as reader:
        yield reader


def open_bulk_reader(
    actor: Annotated[Actor, Depends(actor_of)], ledger: Annotated[Ledger, Depends(part(Ledger))]
) -> Iterator[Reader]:
    """Open the reader of a request that copies the ledger: that it is copied is recorded before a byte leaves."""
    now = ledger.clock()
    if ledger.copies.is_due(actor, now):
        with ledger.transaction(actor) as tx:
            tx.require(Action.LEDGER_READ, LEDGER)
            tx.record(LedgerCopied(about=str(LEDGER)))
        ledger.copies.noted(actor, now)
    with ledger.reading(actor) as reader:
        yield reader


def open_shown(
    request: Request,
    ledger: Annotated[Ledger, Depends(part(Ledger))],
    showing: Annotated[Showing, Depends(part(Showing))],
) -> Iterator[Reader]:
    """Open the reader of one request for the ledger's own files; of a public ledger also for nobody in particular."""
    actor: Actor = request.app.state.authenticate(request)
    if showing.is_public and not actor.is_somebody:
        with ledger.reading(actor) as reader:
            yield reader
        return
    is_one_note = request.url.path.endswith(("/checkpoint", "/endorsed"))
    opened = open_reader if is_one_note else open_bulk_reader
    with contextmanager(opened)(actor_of(request), ledger) as reader:
        reader.require(Action.LEDGER_READ, LEDGER)
        yield reader


def settled(
    request: Request,
    ledger: Annotated[Ledger, Depends(part(Ledger))],
    wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0,
) -> None:
    """Wait until what was committed before stands in the ledger, as long as was asked: ``Prefer: wait=5`` (RFC 7240).

    When that time is over the question is answered as the ledger is then: what it asks for may well be there.
    """
    preferred = wait_in(request.headers.get("prefer", ""))
    if max(wait, preferred):
        with suppress(Unavailable):
            ledger.settle(max(wait, preferred))
            if preferred:
                request.scope[WAITED] = f"wait={preferred:.0f}"


def wait_in(prefer: str) -> float:
    """Return the seconds that a ``Prefer`` header asks to be waited, at most `WAIT_MAX_S`; 0 if it does not."""
    found = _WAIT.search(prefer)
    return min(float(found[1]), WAIT_MAX_S) if found else 0.0


Tx = Annotated[Transaction, Depends(open_transaction, scope="function")]
Snapshot = Annotated[Transaction, Depends(open_snapshot, scope="function")]
Read = Annotated[Reader, Depends(open_reader, scope="function")]
BulkRead = Annotated[Reader, Depends(open_bulk_reader, scope="function")]
Shown = Annotated[Reader, Depends(open_shown, scope="function")]


class SealedRoute(APIRoute):
    """A route whose answer is remembered inside its transaction, so that a retry gets the same one."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Wrap *endpoint* when it writes."""
        writes = any(parameter.annotation == "Tx" for parameter in inspect.signature(endpoint).parameters.values())
        status = int(options.get("status_code") or 200)
        super().__init__(path, _remembering(endpoint, status) if writes else endpoint, **options)


def _remembering(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    if getattr(endpoint, "__remembers__", False):  # FastAPI copies routes when it includes a router
        return endpoint

    @functools.wraps(endpoint)
    def answer(*positional: Any, **named: Any) -> Any:
        result = endpoint(*positional, **named)
        body = result.model_dump_json().encode() if isinstance(result, BaseModel) else b"null"
        for value in named.values():
            if isinstance(value, Transaction) and isinstance(result, Response):
                value.forget()
            elif isinstance(value, Transaction):
                value.remember(status, body)
        return result

    answer.__remembers__ = True  # type: ignore[attr-defined]  # a mark of ours
    return answer
