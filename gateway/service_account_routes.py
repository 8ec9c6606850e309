# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of service accounts: programs with a name, who answers for them, and their tokens."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from khatim.wire import answers, requests
from khatim.wire import service_accounts as wire
from registry import identified, service_accounts
from registry.routes import Rules
from registry.service_account_tables import ServiceAccount

router = APIRouter(prefix="/v1/service-accounts", tags=["access"], route_class=SealedRoute)


@router.get("")
def list_accounts(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.ServiceAccount]:
    """List service accounts, the newest first, closed ones included."""
    rows, following = identified.page(reader, ServiceAccount, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.ServiceAccount.model_validate(row) for row in rows], next=following)


@router.post("", status_code=201)
def open_(tx: Tx, rules: Rules, body: wire.OpenServiceAccount) -> wire.ServiceAccount:
    """Give a program a name, for which a person answers; it holds no role until somebody gives it one."""
    return wire.ServiceAccount.model_validate(service_accounts.open_(tx, body, issuers=rules.sign_in.pipelines))


@router.post("/{name}/closure")
def close(tx: Tx, name: str, body: requests.Reason) -> wire.ServiceAccount:
    """Close an account for good; its name is not used again."""
    return wire.ServiceAccount.model_validate(service_accounts.close(tx, name, because=body.because))


@router.get("/{name}/tokens")
def list_tokens(reader: Read, name: str) -> answers.Page[wire.ServiceToken]:
    """List the tokens of an account, the newest first, without their secrets."""
    found = service_accounts.tokens_of(reader, service_accounts.named(reader, name))
    return answers.Page(items=[wire.ServiceToken.model_validate(row) for row in found])


@router.post("/{name}/tokens", status_code=201)
def issue(tx: Tx, name: str, body: wire.IssueToken) -> wire.IssuedToken:
    """Issue a token; its secret is shown this once, and a call that is repeated issues another."""
    row, token = service_accounts.issue(tx, name, body)
    tx.forget()  # an answer kept for a retry would be a place where the secret stands
    return wire.IssuedToken(**wire.ServiceToken.model_validate(row).model_dump(), token=token)


@router.post("/{name}/tokens/{token}/revocation")
def revoke(tx: Tx, name: str, token: str, body: requests.Reason) -> wire.ServiceToken:
    """Take a token back."""
    return wire.ServiceToken.model_validate(service_accounts.revoke(tx, name, token, because=body.because))
