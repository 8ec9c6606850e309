# SPDX-License-Identifier: Apache-2.0
"""Residency that nobody has decided yet: the movement is refused, and somebody is asked to settle it.

A refusal by the matrix is an answer.  A refusal because a zone, a tag or a cell is unknown, or its legal source is
unresolved, is a question: each becomes a finding once, and again when it is met after it was resolved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from audit.ledger_tables import entries
from audit.transaction import Reader, Transaction
from governance import findings
from governance.tables import Finding
from khatim.errors import ResidencyRefused
from khatim.vocabulary import Resource
from policies.findings import FindingRules, Unsettled
from policies.runtime import Reaction

KIND: Final = "residency-unsettled"
_BACK: Final = timedelta(days=1)  # the sweep looks each minute; after a longer outage the next refusal asks
_AT_MOST: Final = 10_000
_NEVER, _EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def look(tx: Transaction, rules: FindingRules) -> int:
    """Open a finding for every question that was not asked yet; the calling verb asked the permission."""
    told = _told(tx)
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    for at, index, member, detail in _refusals(tx, rules.unsettled):
        key = str(member.get("rule", "")), detail
        if key not in told or at > told[key]:
            known = asked.setdefault(key, {"rule": key[0], "reason": detail, "first": index, "count": 0})
            known |= {name: str(member[name]) for name in ("from_zone", "to_zone", "movement") if name in member}
            known |= {"last": index, "count": known["count"] + 1}
    for (rule, reason), details in asked.items():
        findings.open_(
            tx,
            about=Resource("residency", rule.replace("/", "-")),
            kind=KIND,
            severity=rules.unsettled.severity,
            summary=f"nobody has decided this yet: {reason}",
            details=details,
            consequence=Reaction.WARN,
            rule=f"findings/{KIND}",
            rules=rules,
        )
    return len(asked)


def _refusals(reader: Reader, unsettled: Unsettled) -> Iterator[tuple[datetime, int, dict[str, Any], str]]:
    query = select(entries.c.at, entries.c.index, entries.c.entry).where(
        entries.c.at > reader.now - _BACK, entries.c.kind.endswith(".refused", autoescape=True)
    )
    for at, index, entry in reader.rows(query.order_by(entries.c.index.desc()).limit(_AT_MOST))[::-1]:
        said = json.loads(entry)["event"].get("payload", {})
        member = said.get("members", {})
        if said.get("error") == ResidencyRefused.slug() and unsettled.means(
            member.get("rule"), member.get("certainty")
        ):
            yield at, index, member, str(said.get("detail", ""))


def _told(reader: Reader) -> dict[tuple[str, str], datetime]:
    """Return until when each question counts as asked: until it was resolved, for ever while it is open."""
    told: dict[tuple[str, str], datetime] = {}
    for until, details in reader.rows(select(Finding.resolved_at, Finding.details).where(Finding.kind == KIND)):
        key = str(details["rule"]), str(details["reason"])
        told[key] = max(told.get(key, _NEVER), until or _EVER)
    return told
