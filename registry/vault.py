# SPDX-License-Identifier: Apache-2.0
"""Personal data of people: one encrypted record each, whose key is elsewhere (compliance.md section 4, erasure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from khatim.errors import VerificationFailed
from registry.personal_keys import DataKeys, opened, sealed
from registry.tombstones import Graveyard

DISPLAY_NAME: Final = "display_name"
EMAIL: Final = "email"


@dataclass(frozen=True)
class Vault:
    """Seals and opens people's records.  The database holds the records, `keys` their keys, `graves` who is gone."""

    keys: DataKeys
    graves: Graveyard

    def seal(self, ref: str, record: Mapping[str, str]) -> bytes:
        """Return *record* encrypted under the key of *ref*, which is made at first use."""
        return sealed(self.keys.make(ref), json.dumps(dict(record), sort_keys=True).encode(), _about(ref))

    def open(self, ref: str, box: bytes | None) -> dict[str, str] | None:
        """Return the record; None where nothing is kept, or where nobody can read it any more."""
        key = self.keys.find(ref) if box is not None else None
        if box is None or key is None:
            return None
        try:
            record: dict[str, str] = json.loads(opened(key, box, _about(ref)))
        except VerificationFailed:  # sealed under a key before this one: the person came back after the key was lost
            return None
        return record


def _about(ref: str) -> str:
    return f"khatim person {ref}"
