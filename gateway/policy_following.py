# SPDX-License-Identifier: Apache-2.0
"""How a worker comes to apply the policy change in force, seconds after somebody put it there.

What is in the database counts only when its approver's signature says the same: a worker that cannot verify it goes on
with the rules it has, and none starts with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway import policy_keeping
from gateway.composition import Parts
from governance import policy_changes
from khatim.vocabulary import SERVICE


@dataclass
class Keeper:
    """Brings one worker's application to the rules in force; *hand_out* puts other parts in their place."""

    parts: Parts
    hand_out: Callable[[Parts], None]
    _change: str | None = None
    _is_told: bool = False

    def refresh(self) -> bool:
        """Load what is in force if it is not loaded yet; return whether the rules changed.

        Raises `SignatureInvalid` for a change whose signature does not say what its row says.
        """
        settings = self.parts.settings
        with self.parts.ledger.reading(SERVICE) as reader:
            row = policy_changes.active(reader)
            change = str(row.id) if row is not None else ""
            if change == self._change:
                return False
            if row is not None:
                policy_changes.verified(reader, row, self.parts.notary)
        if row is None:
            policy_keeping.forget(settings)
        else:
            policy_keeping.keep(settings, change, row.files)
        before, rules = self.parts.rules.digest, policy_keeping.loaded(settings)
        if rules.digest != before:
            self.parts = self.parts.under(rules)
            self.hand_out(self.parts)
        self._change, self._is_told = change, False
        return rules.digest != before

    def tell(self) -> None:
        """Tell the ledger which rules are applied, if it was not told.  A full disk lets it wait."""
        if self._change is None or self._is_told:
            return
        with self.parts.ledger.transaction(SERVICE) as tx:
            policy_changes.tell_loaded(tx, self.parts.rules, self._change)
        self._is_told = True
