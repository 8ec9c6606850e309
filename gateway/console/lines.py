# SPDX-License-Identifier: Apache-2.0
"""Ledger entries as lines: who did what, about which person, agent or thing, and what it came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.transaction import Reader
from gateway.console import labels, parts
from gateway.console.names import Names
from gateway.console.wording import because_of, joined, named, words
from khatim.wire import proofs
from registry.vault import Vault

_REFUSED = ".refused"


def names_in(reader: Reader, vault: Vault, found: Iterable[proofs.Entry], *others: str) -> Names:
    """Look up who acts in entries, whom they are about, and the actors *others*."""
    return Names(reader, vault, [*others, *(ref for entry in found for ref in (entry.actor, entry.resource))])


def entry_lines(found: Sequence[proofs.Entry], names: Names) -> tuple[parts.EntryLine, ...]:
    """Return entries as lines, with the names of their actors."""
    return tuple(
        parts.EntryLine(
            index=entry.index,
            at=entry.at,
            kind=entry.kind,
            who=names.who(entry.actor),
            resource=entry.resource,
            zone=entry.zone,
            is_refusal=entry.kind.endswith(_REFUSED),
            summary=_gist(entry.kind, entry.body.get("payload") or {}),
            about=names.about(entry.resource),
        )
        for entry in found
    )


def _gist(kind: str, payload: Mapping[str, Any]) -> parts.Phrase:
    """Return what an entry comes to, in a few words."""
    groups: dict[str, tuple[labels.Group, str]] = {
        "approval.granted": ("role", "role"),
        "approvals.changed": ("approval", "state"),
        "evidence.submitted": ("result", "result"),
        "finding.opened": ("finding", "finding_kind"),
        "job.ended": ("job-state", "state"),
        "job.requested": ("job", "job_kind"),
        "version.promoted": ("stage", "to"),
        "version.scanned": ("status", "status"),
    }
    if kind in groups:
        group, key = groups[kind]
        return named(group, str(payload.get(key, "")))
    if kind == "monitor.ran":
        return words("Inputs have drifted") if payload.get("is_drift") else words("No drift was found")
    if kind == "deployment.changed":
        state, because = named("deployment", str(payload.get("state", ""))), because_of(str(payload.get("because", "")))
        return joined(state, because) if because else state
    return because_of(str(payload.get("detail") or payload.get("because") or ""))
