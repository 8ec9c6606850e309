# SPDX-License-Identifier: Apache-2.0
"""Those who sign for the registry beside its own authority: an identity of another Sigstore, or a bare key.

A deputy counts because the authority appointed it, in a signed statement (`registry.signing.appointments`), from one
moment to another, for the kinds that the registry signs on the word of its sessions, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from khatim.errors import SignatureInvalid
from registry.signing import identity, statements
from registry.signing.binding import Anchors, Window
from registry.signing.clocks import Clocks
from registry.signing.encoding import rfc3339
from registry.signing.identity import Identity

PERSONAL = frozenset(
    {
        statements.APPROVAL, statements.SELF_ATTESTATION, statements.WAIVER, statements.ASSIGNMENT, statements.POLICY
    }
)  # fmt: skip
KINDS = PERSONAL | {statements.ENGAGEMENT}
"""What deputies sign.  The list of revocations and the steps of trust stay with the authority, whom agents know."""

KEY_ONLY = "degraded: signed with a bare key, no certificate says who holds it"
_SKEW = timedelta(minutes=5)  # between the authority's clock, which dates appointments, and that of another Sigstore


class Root(Protocol):
    """Whom a verifier believes: a trust root of `registry.signing.verification`."""

    @property
    def anchors(self) -> Anchors:
        """Its logs and certificate authorities."""
        ...

    @property
    def clocks(self) -> Clocks:
        """Its timestamp authorities."""
        ...

    def check(self, bundle: str, who: Identity) -> None:
        """Verify *bundle* as signed by *who*; raises `SignatureInvalid`."""
        ...


@dataclass(frozen=True, slots=True)
class Deputy:
    """One appointed signer: a name that another trust *root* certifies, or a *key*; *office* is when it signs.

    *backend* is what the settings call it; *number* counts the appointments of an instance.
    """

    number: int
    backend: str
    instance: str
    who: Identity
    office: Window
    root: Root | None = None
    key: EllipticCurvePublicKey | None = None

    @property
    def degraded(self) -> str:
        """What is weaker about it, for people; empty when nothing is."""
        return "" if self.key is None else KEY_ONLY

    def check(self, kind: str, signed_at: datetime) -> None:
        """Check that it was in office at *signed_at* and may make statements of *kind*; raises `SignatureInvalid`."""
        if kind not in KINDS:
            raise SignatureInvalid(
                f"{self.who.name}, who signs for the registry, may not make statements of the kind {kind}",
                advice="Agents sign what they did themselves, with a certificate of the instance's own authority.",
            )
        start, end = self.office.start, self.office.end
        if signed_at not in Window(start and start - _SKEW, end and end + _SKEW):
            raise SignatureInvalid(
                f"{self.who.name} did not sign for the registry at {rfc3339(signed_at)}",
                advice="Have it signed again by who signs for the registry now.",
            )

    def speaker(self, kind: str, predicate: Mapping[str, Any]) -> str:
        """Return in whose name a statement speaks: a person's, on the registry's word, or the registry itself."""
        approver = predicate.get("approver")
        if kind in PERSONAL and isinstance(approver, str):
            return identity.person(self.instance, approver)
        return identity.service(self.instance, "registry")
