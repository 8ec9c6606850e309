# SPDX-License-Identifier: Apache-2.0
"""How the ledger is shown over HTTP: to whom, and which checkpoint counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from audit.witness_policy import WitnessPolicy


@dataclass(frozen=True, slots=True)
class Showing:
    """With *is_public*, checkpoint, tiles and payloads are read without signing in; *policy* says what counts."""

    is_public: bool = False
    policy: WitnessPolicy = field(default_factory=WitnessPolicy)
