# SPDX-License-Identifier: Apache-2.0
"""Who may attest what in Khatim.  Pure, so that a verifier without a database judges as the registry does."""

from __future__ import annotations

from registry.signing import identity, statements

ATTESTERS = {**identity.DEFAULT_ATTESTERS, statements.DEPLOYMENT: ("agent/*/*",)}
"""Kinds of statements, and the patterns of those who may make them, below the instance's domain."""


def attesters_in(zone: str) -> dict[str, tuple[str, ...]]:
    """Return who may attest what when the work is *zone*'s: its own agents and nobody else's."""
    here = f"agent/{zone}/*"
    return {kind: tuple(here if one == "agent/*/*" else one for one in ones) for kind, ones in ATTESTERS.items()}
