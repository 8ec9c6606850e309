# SPDX-License-Identifier: Apache-2.0
"""An authority as outsiders meet it: two trust files, and bundles that its agent signed, honest and forged."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import identity, statements, trust
from registry.signing.authority import Authority
from registry.signing.encoding import b64
from registry.signing.signer import LocalSigner
from registry.signing.verification import TrustRoot
from tests.outside.tools import Signer, Trust

INSTANCE, ISSUER = "demo", "https://demo.khatim"
AGENT = identity.agent(INSTANCE, "ae-health", "agent-1")
Clock = Callable[[], datetime]
Edit = Callable[[dict[str, Any]], object]


class Shifted(LocalSigner):
    """An agent's pen whose timestamp is of another moment than its certificate."""

    shift = timedelta()

    def timestamp(self, signature: bytes) -> bytes:
        return self._authority.stamp(signature, self._clock() + self.shift)


@dataclass(frozen=True)
class Office:
    """An authority, the agent that signs, and what verifiers were given."""

    authority: Authority
    clock: Clock
    trust: Trust
    who: Signer
    root: TrustRoot

    @classmethod
    def opened(cls, authority: Authority, folder: Path, clock: Clock) -> Office:
        """Write the trust files into *folder*."""
        config, root = folder / "client_trust_config.json", folder / "trusted_root.json"
        config.write_text(trust.dumps(trust.client_trust_config(authority.record, "https://authority.test")))
        root.write_text(trust.dumps(trust.trusted_root(authority.record)))
        return cls(authority, clock, Trust(config, root), Signer(AGENT, ISSUER), TrustRoot.load(root.read_text()))

    def sign(self, statement: bytes, late: timedelta = timedelta()) -> str:
        """Sign as the agent; *late* moves the timestamp."""
        pen = Shifted(self.authority, AGENT, ISSUER, self.clock)
        pen.shift = late
        return pen.sign(statement)


def now() -> datetime:
    """Return the present moment; outside tools compare with real time."""
    return datetime.now(UTC)


@contextmanager
def founded(folder: Path) -> Iterator[Office]:
    """Yield a new authority with its trust files, all in *folder*."""
    authority = Authority.create(folder / "authority", INSTANCE, now)
    yield Office.opened(authority, folder, now)
    authority.close()


def edited(bundle: str, edit: Edit) -> str:
    """Return the bundle with one thing changed, spelt as before."""
    body = json.loads(bundle)
    edit(body)
    return bundles.dumps(body)


def material(body: dict[str, Any]) -> dict[str, Any]:
    """Return certificate, log entries and timestamps."""
    found: dict[str, Any] = body["verificationMaterial"]
    return found


def entry(body: dict[str, Any]) -> dict[str, Any]:
    """Return the log entry."""
    found: dict[str, Any] = material(body)["tlogEntries"][0]
    return found


def proof(body: dict[str, Any]) -> dict[str, Any]:
    """Return the inclusion proof of the log entry."""
    found: dict[str, Any] = entry(body)["inclusionProof"]
    return found


def stamps(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the timestamps."""
    found: list[dict[str, Any]] = material(body)["timestampVerificationData"]["rfc3161Timestamps"]
    return found


def bent(text: str, at: int = -1) -> str:
    """Return base64 of the bytes of *text* with one bit changed."""
    data = bytearray(base64.b64decode(text))
    data[at] ^= 1
    return b64(bytes(data))


def bend(holder: Callable[[dict[str, Any]], dict[str, Any]], key: str, at: int = -1) -> Edit:
    """Return what changes one bit of the base64 that stands under *key*."""

    def edit(body: dict[str, Any]) -> None:
        holder(body)[key] = bent(holder(body)[key], at)

    return edit


def said_otherwise(body: dict[str, Any]) -> None:
    """Turn what was signed into its opposite."""
    envelope = body["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    assert b"PASSED" in payload
    envelope["payload"] = b64(payload.replace(b"PASSED", b"FAILED"))


def passed(content: bytes) -> bytes:
    """Return the statement that a test of *content* passed."""
    return statements.statement([("report", Digest.of(content))], statements.TEST_RESULT, {"result": "PASSED"})
