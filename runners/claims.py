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
    definition = verified.predicate.get("buildDefinition", {})
    _require(verified, _digests(definition.get("resolvedDependencies", [])), digests, "was made from")


def require_byproducts(verified: VerifiedStatement, digests: Iterable[str]) -> None:
    """Raise unless a SLSA provenance names all of *digests* among its byproducts."""
    details = verified.predicate.get("runDetails", {})
    _require(verified, _digests(details.get("byproducts", [])), digests, "also made")


def require_configuration(verified: VerifiedStatement, report: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless a test result names the digest of *report* (canonical JSON) among its configuration."""
    named = _digests(verified.predicate.get("configuration", []))
    _require(verified, named, [str(Digest.of(canonical(list(report))))], "was reported as")


def _digests(descriptors: Iterable[Mapping[str, Any]]) -> set[str]:
    return {f"sha256:{one.get('digest', {}).get('sha256', '')}" for one in descriptors}


def _require(verified: VerifiedStatement, named: set[str], wanted: Iterable[str], words: str) -> None:
    missing = sorted(set(wanted) - named)
    if missing:
        raise SignatureInvalid(
            f"the statement of {verified.identity} does not say that it {words} {', '.join(missing)}",
            advice=ADVICE,
            missing=missing,
        )
