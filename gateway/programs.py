# SPDX-License-Identifier: Apache-2.0
"""Programs at the front door: which service account a token opens, and how much of what the account holds.

Asked of the database at most every `KNOWN_FOR` by each worker: so long may a token go on that was revoked elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import httpx

from audit.transaction import Ledger
from gateway.oidc import TIMEOUT_S
from gateway.standings import KNOWN_FOR
from khatim import tokens
from khatim.errors import Unauthenticated
from khatim.vocabulary import SERVICE, Assignment, Role, matches
from registry import service_accounts
from registry.service_account_tables import ServiceAccount
from registry.signing.published_keys import PublishedKeys

_ROOM: Final = 10_000


@dataclass(frozen=True, slots=True)
class Program:
    """A service account as a token opens it: who answers for it, and what the token is kept to."""

    ref: str
    sponsor: str
    roles: frozenset[Role] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def keeps(self, held: Iterable[Assignment]) -> frozenset[Assignment]:
        """Return what of the account's roles the token reaches to."""
        mine = [one for one in held if not self.roles or one.role in self.roles]
        if not self.namespaces:
            return frozenset(mine)
        return frozenset(
            replace(one, namespace=both) for one in mine for pattern in self.namespaces
            if (both := _both(one.namespace, pattern)) is not None
        )  # fmt: skip


def _both(one: str, other: str) -> str | None:
    """Return the pattern of what two patterns both mean; None when that is nothing."""
    if _is_within(one, other):
        return one
    return other if _is_within(other, one) else None


def _is_within(one: str, other: str) -> bool:
    return one == other or (other.endswith("*") and matches(one.removesuffix("*"), other))


@dataclass
class Programs:
    """Answers for one worker."""

    ledger: Ledger
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=TIMEOUT_S, follow_redirects=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
    )
    _shown: dict[bytes, tuple[datetime, Program]] = field(default_factory=dict)
    _of_issuer: dict[str, tuple[datetime, list[ServiceAccount]]] = field(default_factory=dict)
    _keys: dict[str, PublishedKeys] = field(default_factory=dict)

    def of_token(self, token: str) -> Program:
        """Return which program shows *token*, one that was issued here; raises `Unauthenticated`."""
        key, now = sha256(token.encode()).digest(), self.ledger.clock()
        asked = self._shown.get(key)
        if asked is not None and abs(now - asked[0]) <= KNOWN_FOR:
            return asked[1]
        self._shown.pop(key, None)
        with self.ledger.reading(SERVICE) as reader:
            account, found = service_accounts.shown(reader, token)
        program = Program(account.ref, account.sponsor, service_accounts.roles_in(found), frozenset(found.namespaces))
        if len(self._shown) >= _ROOM:
            self._shown.clear()
        self._shown[key] = now, program
        return program

    def of_claims(self, token: str, issuer: str) -> Program:
        """Return which pipeline shows *token*, one of an outside *issuer*; raises `Unauthenticated`, `Unavailable`.

        Exactly one account must be meant: a token that could be two programs' is nobody's.
        """
        now = self.ledger.clock()
        known = self._accounts(issuer, now)
        if not known:
            raise Unauthenticated("no program here is opened by tokens of that issuer")
        keys = self._keys.setdefault(issuer, PublishedKeys(issuer, self.http))
        key = keys.of(token)
        meant = [one for one in known if _opens(one, token, key, now)]
        if len(meant) != 1:
            why = "several programs" if meant else "no program"
            raise Unauthenticated(f"what the token says fits {why} here", advice="khatim service-account list")
        return Program(meant[0].ref, meant[0].sponsor)

    def _accounts(self, issuer: str, now: datetime) -> list[ServiceAccount]:
        asked = self._of_issuer.get(issuer)
        if asked is None or abs(now - asked[0]) > KNOWN_FOR:
            with self.ledger.reading(SERVICE) as reader:
                asked = self._of_issuer[issuer] = now, service_accounts.pipelines_of(reader, issuer)
        return asked[1]


def _opens(account: ServiceAccount, token: str, key: Mapping[str, Any], now: datetime) -> bool:
    try:
        claims = tokens.read_foreign(token, key, issuer=account.issuer, audience=account.audience, at=now)
    except Unauthenticated:
        return False
    return all(name in claims and matches(_plain(claims[name]), asked) for name, asked in account.claims.items())


def _plain(value: object) -> str:
    """Return a claim as text: what is true is ``true``, as JSON writes it; what is no single value is nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""
