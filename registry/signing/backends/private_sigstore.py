# SPDX-License-Identifier: Apache-2.0
"""Signing with a private Sigstore that somebody else runs: Fulcio v2, Rekor v2 and a timestamp authority.

Where they are, and whom to believe, stands in a ClientTrustConfig, as for every Sigstore client.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from khatim.errors import Malformed, Misconfigured, Unavailable
from registry.signing.encoding import strict_json
from registry.signing.signer import Places, RemoteSigner
from registry.signing.trust import CLIENT_TRUST_CONFIG, LOG_ENTRIES_PATH, SIGNING_CERT_PATH
from registry.signing.verification import TrustRoot

_COMMAND_S = 30
_ADVICE = "Ask whoever runs the Sigstore instance for its client_trust_config.json."


def private_signer(trust_config: str, token_source: Callable[[], str], http: httpx.Client) -> RemoteSigner:
    """Return a signer with the instance of *trust_config* (JSON text); raises `Misconfigured` if it cannot be used."""
    config = _config(trust_config)["signingConfig"]
    authority = _service(config, "caUrls", 1)
    log = _service(config, "rekorTlogUrls", 2)
    clock = _service(config, "tsaUrls", 1)
    places = Places(_joined(authority, SIGNING_CERT_PATH), clock, _joined(log, LOG_ENTRIES_PATH))
    return RemoteSigner(http, token_source, places=places)


def trust_root_of(trust_config: str) -> TrustRoot:
    """Return whom statements of that instance are verified with: its own trust root, not ours."""
    return TrustRoot.load(json.dumps(document_of(trust_config)))


def document_of(trust_config: str) -> Mapping[str, Any]:
    """Return the trusted root of that instance, as its authority wrote it."""
    found: Mapping[str, Any] = _config(trust_config)["trustedRoot"]
    return found


def token_in(path: Path) -> Callable[[], str]:
    """Return what reads the token from a file each time, as a workload identity renews it."""

    def read() -> str:
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            raise Unavailable(f"the token for signing cannot be read from {path}") from wrong

    return read


def token_from(command: Sequence[str]) -> Callable[[], str]:
    """Return what runs *command* each time and takes the token from what it prints."""

    def ask() -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_COMMAND_S)  # noqa: S603 - the operator's own command, no shell
        except (OSError, subprocess.SubprocessError) as wrong:
            raise Unavailable(f"{command[0]} did not print a token for signing: {type(wrong).__name__}") from wrong
        return done.stdout.strip()

    return ask


def _config(text: str) -> Mapping[str, Any]:
    try:
        found = strict_json(text, "the trust configuration")
    except Malformed as wrong:
        raise Misconfigured(wrong.detail, advice=_ADVICE) from wrong
    if not isinstance(found, dict) or found.get("mediaType") != CLIENT_TRUST_CONFIG:
        raise Misconfigured(f"the trust configuration is not of media type {CLIENT_TRUST_CONFIG}", advice=_ADVICE)
    if not all(isinstance(found.get(part), dict) for part in ("trustedRoot", "signingConfig")):
        raise Misconfigured("the trust configuration has no trustedRoot or no signingConfig", advice=_ADVICE)
    return found


def _service(config: Mapping[str, Any], kind: str, version: int) -> str:
    """Return the address of the first service of a kind that speaks *version* of its protocol."""
    services = config.get(kind)
    for one in services if isinstance(services, list) else []:
        if isinstance(one, dict) and one.get("majorApiVersion") == version and isinstance(one.get("url"), str):
            return str(one["url"])
    raise Misconfigured(f"the trust configuration names no service of version {version} in {kind}", advice=_ADVICE)


def _joined(url: str, path: str) -> str:
    return url.rstrip("/") + path
