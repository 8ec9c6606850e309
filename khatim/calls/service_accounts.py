# SPDX-License-Identifier: Apache-2.0
"""Service accounts: programs with a name, who answers for them, and their tokens."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote

from khatim.calls.connection import Connection, body
from khatim.vocabulary import Role
from khatim.wire import requests
from khatim.wire import service_accounts as wire

_PATH = "/v1/service-accounts"


class ServiceAccounts:
    """Service accounts by their names."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(self) -> Iterator[wire.ServiceAccount]:
        """Yield the accounts, the newest first, closed ones included."""
        return self._connection.pages(wire.ServiceAccount, _PATH)

    def open(
        self,
        name: str,
        *,
        sponsor: str,
        purpose: str,
        issuer: str = "",
        audience: str = "",
        claims: Mapping[str, str] | None = None,
    ) -> wire.ServiceAccount:
        """Give a program a name, for which the person *sponsor* answers; it holds no role yet.

        With *issuer*, *audience* and *claims* a pipeline's own tokens open it.
        """
        given = body(
            wire.OpenServiceAccount, name=name, sponsor=sponsor, purpose=purpose, issuer=issuer, audience=audience,
            claims=dict(claims or {}),
        )  # fmt: skip
        return self._connection.send(wire.ServiceAccount, _PATH, given)

    def close(self, name: str, *, because: str) -> wire.ServiceAccount:
        """Close an account for good; its name is not used again."""
        return self._connection.send(
            wire.ServiceAccount, f"{_of(name)}/closure", body(requests.Reason, because=because)
        )

    def tokens(self, name: str) -> Iterator[wire.ServiceToken]:
        """Yield the tokens of an account, the newest first, without their secrets."""
        return self._connection.pages(wire.ServiceToken, f"{_of(name)}/tokens")

    def issue(
        self, name: str, *, days: int = 30, roles: Collection[Role | str] = (), namespaces: Collection[str] = ()
    ) -> wire.IssuedToken:
        """Issue a token, kept to some *roles* and *namespaces*; its secret is shown this once."""
        given = body(wire.IssueToken, days=days, roles=[Role(one) for one in roles], namespaces=[*namespaces])
        return self._connection.send(wire.IssuedToken, f"{_of(name)}/tokens", given)

    def revoke(self, name: str, token: str | uuid.UUID, *, because: str) -> wire.ServiceToken:
        """Take a token back."""
        path = f"{_of(name)}/tokens/{quote(str(token), safe='')}/revocation"
        return self._connection.send(wire.ServiceToken, path, body(requests.Reason, because=because))


def _of(name: str) -> str:
    return f"{_PATH}/{quote(name.removeprefix('service-account:'), safe='')}"
