# SPDX-License-Identifier: Apache-2.0
"""What the console's forms do: the same verbs as the API, and one check more.

A form carries the digest of what its page showed.  What was approved is what was seen: if evidence, data or policy has
changed since, the approval is not given and the person is asked to look again.
"""

from __future__ import annotations

from audit.transaction import Transaction
from gateway.console.labels import mark
from governance import approvals, facts, promotion
from governance.tables import Approval
from khatim.errors import Conflict, Malformed
from khatim.vocabulary import Role, Stage
from policies import gates
from policies.facts import Transition
from policies.loading import PolicyBundle
from registry import queries
from registry.notary import Notary
from registry.tables import ModelVersion

_WORDS_LEAST = 3  # characters, as the API asks for


def approve(  # noqa: PLR0913 - the fields of the form
    tx: Transaction,
    path: str,
    *,
    role: Role,
    meaning: str,
    comment: str,
    days: int,
    seen: str,
    notary: Notary,
    rules: PolicyBundle,
) -> Approval:
    """Approve a version as its page showed it; raises `Conflict` when that is not what it is now."""
    _said(meaning, mark("The meaning of the signature is missing."))
    version = queries.numbered(tx, ModelVersion, path)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    binding = gates.binding_of(rules.gates, Transition.PRODUCTION, known)
    if binding.digest != seen:
        raise Conflict(
            mark("What you saw has changed: evidence, data or policy is not what it was when you opened the page."),
            advice=mark("Open the page again, look at what is new, and decide then."),
        )
    return approvals.approve(
        tx, path, role=role, meaning=meaning, comment=comment, valid_days=days, notary=notary, rules=rules
    )


def promote(  # noqa: PLR0913 - the fields of the form
    tx: Transaction, path: str, *, to: Stage, because: str, notary: Notary, rules: PolicyBundle
) -> ModelVersion:
    """Move a version to another stage."""
    return promotion.promote(
        tx, path, to, because=_said(because, mark("The reason is missing.")), notary=notary, rules=rules
    )


def _said(text: str, otherwise: str) -> str:
    if len(text.strip()) < _WORDS_LEAST:
        raise Malformed(otherwise, advice=mark("Write a few words."))
    return text.strip()
