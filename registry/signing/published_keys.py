# SPDX-License-Identifier: Apache-2.0
"""What an OpenID provider publishes of itself, metadata and keys: fetched where they stand, kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from khatim import tokens
from khatim.errors import Malformed, Unauthenticated, Unavailable
from registry.signing.encoding import strict_json

KEPT_S: Final = 600.0
AGAIN_S: Final = 30.0  # how soon an unknown key makes us look again: a stranger's token must not make us a flood
_DISCOVERY: Final = "/.well-known/openid-configuration"
_MOST: Final = 256 * 1024


@dataclass
class PublishedKeys:
    """The keys of the issuer *url*, as it stands in its tokens.  Safe for several threads.

    *jwks* is where they are, when the metadata (OpenID Connect Discovery 1.0) is not to be asked.
    """

    url: str
    http: httpx.Client
    jwks: str = ""
    monotonic: Callable[[], float] = time.monotonic
    _keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _fetched: float | None = None
    _metadata: Mapping[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, token: str) -> Mapping[str, Any]:
        """Return the key that *token* names; raises `Unauthenticated` for none, `Unavailable` when none can be had."""
        name = tokens.key_id_of(token)
        with self._lock:
            age = self._age()
            if age >= KEPT_S or (name not in self._keys and age >= AGAIN_S):
                self._refresh()
            found = self._keys.get(name)
        if found is None:
            raise Unauthenticated("the token is signed by a key that its issuer does not publish")
        return found

    def metadata(self) -> Mapping[str, Any]:
        """Return what the provider says of itself; raises `Unavailable`, also when it is another provider's."""
        with self._lock:
            if self._age() >= KEPT_S or not self._metadata:
                self._refresh()
            return self._metadata

    def _age(self) -> float:
        return KEPT_S if self._fetched is None else self.monotonic() - self._fetched

    def _refresh(self) -> None:
        address: object = self.jwks
        if not self.jwks:
            told = self._get(self.url.rstrip("/") + _DISCOVERY)
            # Discovery 4.3: else another provider could speak for this one.
            if told.get("issuer", self.url) != self.url:
                raise Unavailable(f"the metadata at {self.url} is that of another issuer")
            self._metadata, address = told, told.get("jwks_uri")
        if not isinstance(address, str):
            raise Unavailable(f"the issuer {self.url} does not say where its keys are")
        keys = self._get(address).get("keys")
        self._keys = {str(one.get("kid", "")): one for one in (keys if isinstance(keys, list) else []) if _is_key(one)}
        self._fetched = self.monotonic()

    def _get(self, address: str) -> Mapping[str, Any]:
        try:
            answer = self.http.get(address)
            found = strict_json(answer.raise_for_status().content[:_MOST], "the answer")
        except (httpx.HTTPError, httpx.InvalidURL, Malformed) as wrong:
            raise Unavailable(f"the keys of the issuer {self.url} cannot be had: {type(wrong).__name__}") from wrong
        if not isinstance(found, dict):
            raise Unavailable(f"the issuer {self.url} did not answer with an object")
        return found


def _is_key(value: object) -> bool:
    return isinstance(value, dict) and value.get("kty") != "oct"
