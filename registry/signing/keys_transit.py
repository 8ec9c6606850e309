# SPDX-License-Identifier: Apache-2.0
"""Sealed keys unlocked by a key management service: the Transit engine of HashiCorp Vault or OpenBao, over HTTPS.

The service wraps and unwraps the data key; it never sees a signing key.  Its own key may be rotated there at any
time: a ciphertext names its version (``vault:v2:…``).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from khatim.errors import Misconfigured, Unavailable
from registry.signing.encoding import b64

_BOUND = b64(b"khatim-data-key/1")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
_REFUSED = range(400, 500)
_TIMEOUT_S = 10.0


class Transit:
    """Wraps under the key of a reference ``vault-transit://host[:port]/key`` (mount ``transit``)."""

    kind = "vault-transit"

    def __init__(self, reference: str, token: Callable[[], str], *, http: httpx.Client | None = None) -> None:
        """Take the reference and what returns a token that may encrypt and decrypt with that key (and nothing else).

        The connection is TLS, but for a loopback address, where the service runs on this machine or is a proxy.
        Raises `Misconfigured` for another kind of reference.
        """
        parts = urlsplit(reference)
        name = parts.path.removeprefix("/")
        if parts.scheme != self.kind or not parts.hostname or not _KEY.match(name) or parts.query or parts.username:
            raise Misconfigured(
                f"not a reference to a Transit key: {reference[:80]!r}: vault-transit://host[:port]/key"
            )
        self.words = f"the key {name} of the key management service {parts.hostname}"
        self._name = name
        self._token = token
        scheme = "http" if _is_loopback(parts.hostname) else "https"
        self._http = http or httpx.Client(base_url=f"{scheme}://{parts.netloc}", timeout=_TIMEOUT_S)

    def wrap(self, data_key: bytes) -> Mapping[str, Any]:
        """Return the wrapped key; raises `Unavailable` or `Misconfigured`."""
        asked = {"plaintext": b64(data_key), "associated_data": _BOUND}
        return {"key": self._name, "ciphertext": self._ask("encrypt", asked, "ciphertext")}

    def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return the data key; raises `Unavailable` when the service does not answer, `Misconfigured` if it refuses."""
        if wrapped.get("key") != self._name:
            raise Misconfigured(
                f"the keys are wrapped under {wrapped.get('key')!r}, not {self._name!r}",
                advice="Correct the last part of the reference.",
            )
        asked = {"ciphertext": str(wrapped.get("ciphertext", "")), "associated_data": _BOUND}
        try:
            return base64.b64decode(self._ask("decrypt", asked, "plaintext"), validate=True)
        except ValueError as wrong:
            raise Misconfigured("what the key management service returned is not a key") from wrong

    def _ask(self, operation: str, body: Mapping[str, str], answer: str) -> str:
        try:
            response = self._http.post(
                f"/v1/transit/{operation}/{self._name}", json=body, headers={"X-Vault-Token": self._token()}
            )
            if response.status_code in _REFUSED:
                raise Misconfigured(
                    f"the key management service refuses to {operation}: {_complaints(response)}",
                    advice=f"Check its token, its policy, the key {self._name}; a changed header is refused as well.",
                )
            return str(response.raise_for_status().json()["data"][answer])
        except (httpx.HTTPError, httpx.InvalidURL) as wrong:
            raise Unavailable(
                f"the key management service does not answer: {type(wrong).__name__}",
                advice="Without it the keys stay locked. Try again when it is back.",
            ) from wrong
        except (ValueError, KeyError, TypeError) as wrong:
            raise Unavailable("the key management service returned no answer that can be read") from wrong


def _complaints(response: httpx.Response) -> str:
    try:
        return "; ".join(str(one) for one in response.json()["errors"])[:200] or str(response.status_code)
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
