# SPDX-License-Identifier: Apache-2.0
"""Holding what an agent reports against what it signed: only the signed part is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.canonical import canonical
from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing.verification import VerifiedStatement

ADVICE = "Do the job again; if it happens twice, look at the agent."


def require_made_from(verified: VerifiedStatement, digests: Iterable[str]) -> None:
    """Raise unless a SLSA provenance names all of *digests* among its resolvedDependencies."""
    _require(verified, _digests(verified, "buildDefinition", "resolvedDependencies"), digests, "was made from")


def require_byproducts(verified: VerifiedStatement, digests: Iterable[str]) -> None:
    """Raise unless a SLSA provenance names all of *digests* among its byproducts."""
    _require(verified, _digests(verified, "runDetails", "byproducts"), digests, "also made")


def require_configuration(verified: VerifiedStatement, report: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless a test result names the digest of *report* (canonical JSON) among its configuration."""
    named = _digests(verified, "configuration")
    _require(verified, named, [str(Digest.of(canonical(list(report))))], "was reported as")


def _digests(verified: VerifiedStatement, *place: str) -> set[str]:
    """Return the digests of the descriptors at *place* of the predicate; what is no descriptor names none."""
    found: Any = verified.predicate
    for key in place:
        found = found.get(key) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else []
    digests = [one.get("digest") for one in listed if isinstance(one, Mapping)]
    return {f"sha256:{one.get('sha256')}" for one in digests if isinstance(one, Mapping)}


def _require(verified: VerifiedStatement, named: set[str], wanted: Iterable[str], words: str) -> None:
    missing = sorted(set(wanted) - named)
    if missing:
        raise SignatureInvalid(
            f"the statement of {verified.identity} does not say that it {words} {', '.join(missing)}",
            advice=ADVICE,
            missing=missing,
        )
