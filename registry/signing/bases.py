# SPDX-License-Identifier: Apache-2.0
"""Whom a claim rests on, by pure rules over what was verified: signer, ledger, witnesses, and whose clock.

One claim may rest on several: an agent signed it, witnesses saw the ledger that names it, an outside clock dated it.
What nobody signed is merely declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from khatim.vocabulary import Basis
from registry.signing import identity
from registry.signing.verification import VerifiedStatement

SENTENCES: Mapping[Basis, str] = {
    Basis.DECLARED: "declared: nobody signed it, it stands in a row of the registry",
    Basis.SERVER_ATTESTED: "server-attested: the registry signed it, for a person on the word of their session",
    Basis.PERSON_BOUND: "person-bound: an identity provider other than the registry vouched for the person who signed",
    Basis.RUNNER_ATTESTED: "runner-attested: the agent of the zone where it happened signed it",
    Basis.WITNESSED: "witnessed: independent witnesses cosigned a ledger that names it",
    Basis.OUTSIDE_TIME: "outside-time: a timestamp authority that the operator does not run dated it",
}
OPERATORS_TIME = "time attested by the operator only"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was found around a signature.

    *is_in_ledger* is whether a verified ledger names the statement; *witnesses* are the trusted witnesses whose
    cosignatures of that ledger hold, *quorum* how many are asked for.
    """

    is_in_ledger: bool = False
    witnesses: frozenset[str] = frozenset()
    quorum: int = 1


def bases_of(verified: VerifiedStatement | None, instance: str, around: Circumstances) -> tuple[Basis, ...]:
    """Return whom a claim rests on, in the order of the vocabulary; without a verified statement it is declared."""
    if verified is None:
        return (Basis.DECLARED,)
    found = {_signer(verified, instance)}
    if around.is_in_ledger and around.quorum > 0 and len(around.witnesses) >= around.quorum:
        found.add(Basis.WITNESSED)
    if any(clock and not is_operators(clock, instance) for clock in (verified.clock, verified.outside)):
        found.add(Basis.OUTSIDE_TIME)
    return tuple(basis for basis in Basis if basis in found)


def _signer(verified: VerifiedStatement, instance: str) -> Basis:
    if verified.spoken_for:  # by whom the registry has its own statements signed: still on its word alone
        return Basis.SERVER_ATTESTED
    below = f"spiffe://{identity.domain(instance)}/"
    is_vouched_outside = verified.issuer != f"https://{instance}"
    if verified.identity.startswith(f"{below}agent/") and not is_vouched_outside:
        return Basis.RUNNER_ATTESTED
    if verified.identity.startswith(f"{below}service/"):
        return Basis.SERVER_ATTESTED
    # A person whose certificate the registry ordered on the word of a session: the registry could have done it alone.
    return Basis.PERSON_BOUND if is_vouched_outside else Basis.SERVER_ATTESTED


def is_operators(clock: str, instance: str) -> bool:
    """Whether the timestamp authority at that address (a URI) is one of the instance itself."""
    host = urlsplit(clock).hostname or ""
    own = identity.domain(instance)
    return host == own or host.endswith(f".{own}")


def told(bases: Iterable[Basis], verified: VerifiedStatement | None, instance: str) -> str:
    """Return in words whom a claim rests on; says when the time is the operator's word only, or a bare key signed."""
    parts = [", ".join(basis.value for basis in bases)]
    if verified is not None and is_operators(verified.clock, instance) and not verified.outside:
        parts.append(OPERATORS_TIME)
    if verified is not None and verified.degraded:
        parts.append(verified.degraded)
    return "; ".join(parts)
