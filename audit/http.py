# SPDX-License-Identifier: Apache-2.0
"""How HTTP meets the one mechanism: a route's transaction is committed before its answer leaves.

``scope="function"`` is essential: by default FastAPI ends a yield dependency after the response, so that a failed
commit would already have answered 200.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from audit.answers import Question
from audit.copies import LEDGER, LedgerCopied
from audit.transaction import Ledger, Reader, Transaction
from khatim.errors import Unauthenticated
from khatim.vocabulary import Action, Actor

Part = TypeVar("Part")
ACTOR = "khatim.actor"
"""Where a request's scope says who asks, once that is known."""


def part(kind: type[Part]) -> Callable[[Request], Part]:
    """Return a dependency that hands out the part of *kind* that the composition root built."""

    def take(request: Request) -> Part:
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
    actor: Annotated[Actor, Depends(actor_of)],
    ledger: Annotated[Ledger, Depends(part(Ledger))],
    fingerprint: Annotated[str, Depends(_fingerprint)],
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Iterator[Transaction]:
    """Open the transaction of one request."""
    with ledger.transaction(actor) as tx:
        if idempotency_key and actor.is_somebody:
            tx.answer_once(Question(actor.ref, idempotency_key, fingerprint))
        yield tx


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


Tx = Annotated[Transaction, Depends(open_transaction, scope="function")]
Snapshot = Annotated[Transaction, Depends(open_snapshot, scope="function")]
Read = Annotated[Reader, Depends(open_reader, scope="function")]
BulkRead = Annotated[Reader, Depends(open_bulk_reader, scope="function")]


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
