# SPDX-License-Identifier: Apache-2.0
"""The status of a zone's endpoints, signed by the registry and dated: what an agent may go on by when it is alone.

As a stapled OCSP response says of a certificate (RFC 6961), it says of each deployment what it was at that moment:
whether it may answer, until when its approvals stand, and what was agreed for the day when nothing newer can be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from audit.canonical import canonical
from audit.events import moment
from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import identity, statements
from registry.signing.attesters import ATTESTERS
from registry.signing.identity import IdentityPolicy
from registry.signing.verification import TrustRoot, verify_bundle

SUBJECT: Final = "endpoints.json"
RENEWED_S: Final = 300
"""The registry issues the status of a zone anew after so many seconds, and at once when something changes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One deployment as the registry knew it.  `runtime` is what was agreed for it (`policies.runtime.Terms`)."""

    state: str
    digest: str
    approved_until: datetime | None
    runtime: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SignedStatus:
    """A verified status of one zone: its deployments by id, and when it was issued."""

    zone: str
    issued_at: datetime
    endpoints: Mapping[str, Endpoint]


def statement_of(zone: str, endpoints: Sequence[Mapping[str, Any]], *, at: datetime) -> bytes:
    """Return the statement about *endpoints* (JSON members, see `read`) of *zone* as of *at*."""
    listed = sorted(endpoints, key=lambda one: str(one["deployment"]))
    predicate = {"zone": zone, "issuedAt": moment(at), "endpoints": listed}
    return statements.statement([(SUBJECT, Digest.of(canonical(listed)))], statements.ENDPOINT_STATUS, predicate)


def read(bundle: str, root: TrustRoot, *, instance: str, zone: str) -> SignedStatus:
    """Verify a status; raises `SignatureInvalid` when it does not hold or is not the registry's word about *zone*."""
    policy = IdentityPolicy.of_instance(instance, f"https://{instance}", ATTESTERS)
    verified = verify_bundle(bundle, root, policy)
    said = verified.predicate
    if verified.kind != statements.ENDPOINT_STATUS or verified.identity != identity.service(instance, "registry"):
        raise SignatureInvalid(f"it is a {verified.kind} by {verified.identity}, not the registry's status")
    try:
        listed = list(said["endpoints"])
        issued = datetime.fromisoformat(said["issuedAt"])
        found = {str(one["deployment"]): _endpoint(one) for one in listed}
        is_ours = said["zone"] == zone and issued.tzinfo is not None
    except (KeyError, TypeError, ValueError) as wrong:
        raise SignatureInvalid("the status of endpoints has not the form of one") from wrong
    if not is_ours or len(found) != len(listed) or Digest.of(canonical(listed)) not in verified.digests:
        raise SignatureInvalid(f"the status of endpoints is not one of zone {zone}, or not what its digest says")
    return SignedStatus(zone, issued, found)


def _endpoint(members: Mapping[str, Any]) -> Endpoint:
    until = members["approvedUntil"]
    return Endpoint(
        state=str(members["state"]),
        digest=str(members["digest"]),
        approved_until=None if until is None else datetime.fromisoformat(until),
        runtime=dict(members["runtime"]),
    )
