# SPDX-License-Identifier: Apache-2.0
"""The populations of a bundle: what each lists, and which entries of the ledger its rows stand for, one each.

That a population is complete is not claimed but checked: whoever has the bundle finds in its ledger exactly the entries
that the rows name, none missing and none besides (compliance.md section 4, population completeness and accuracy).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from governance.reports import selections as sql
from governance.reports.manifest import FORMATS
from governance.reports.scope import BELOW, Said

REFUSED = "*.refused"


@dataclass(frozen=True, slots=True)
class Match:
    """Entries of a *kind* (``*`` is any, ``*.refused`` any refusal) whose *member* names something in the scope.

    With *error* only refusals for that reason; a wide match takes everything in the subject's namespace as well, one
    that is *is_everywhere* takes all: what is revoked anywhere may be what the subject rests on.
    """

    kind: str
    member: str = "resource"
    error: str = ""
    is_wide: bool = False
    is_everywhere: bool = False

    def holds(self, event: Said, refs: Collection[str], namespace: str) -> bool:
        """Whether *event* is one of these."""
        is_kind = event.kind.endswith(REFUSED[1:]) if self.kind == REFUSED else self.kind in ("*", event.kind)
        is_reason = not self.error or event.value("payload.error") == self.error
        is_here = (
            self.is_everywhere or event.value(self.member) in refs or (self.is_wide and event.namespace == namespace)
        )
        return is_kind and is_reason and is_here


@dataclass(frozen=True, slots=True)
class Population:
    """One population: the name of its file, what it lists (for people), how it is selected, what it must agree with."""

    name: str
    title: str
    query: str
    matches: tuple[Match, ...]
    since: int = 1  # the first format that has it

    def holds(self, event: Said, refs: Collection[str], namespace: str) -> bool:
        """Whether the population must have a row for *event*."""
        return any(match.holds(event, refs, namespace) for match in self.matches)


def _below(kind: str) -> tuple[Match, ...]:
    return (Match(kind, f"payload.{BELOW[kind]}"),)


def _of(name: str, title: str, query: str, *matches: Match) -> Population:
    return Population(name, title, sql.SAID + query, matches)


ALL = (
    _of("approvals", "Approvals of the version", sql.APPROVALS, Match("approval.granted")),
    _of("authorisations", "Training authorisations", sql.AUTHORISATIONS, Match("authorisation.requested")),
    _of("datasets", "Dataset versions", sql.DATASETS, Match("dataset.registered")),
    _of("deployments", "Deployments", sql.DEPLOYMENTS, *_below("deployment.requested")),
    _of("events", "Every event in scope", sql.EVENTS, Match("*")),
    _of("evidence", "Evidence: scans and evaluations", sql.EVIDENCE, Match("evidence.submitted")),
    _of("exports", "Earlier exports of bundles", sql.EXPORTS, Match("engagement.exported", "payload.subject")),
    _of("features", "Feature view versions", sql.FEATURES, Match("features.registered")),
    _of("findings", "Findings", sql.FINDINGS, *_below("finding.opened")),
    _of(
        "gate-decisions",
        "Promotions and refusals at gates",
        sql.GATES,
        Match("version.promoted"),
        Match(REFUSED, error="gate-not-satisfied", is_wide=True),
        Match(REFUSED, error="format-refused", is_wide=True),
    ),
    _of("jobs", "Work asked of zones", sql.JOBS, *_below("job.requested")),
    _of("monitor-runs", "Monitor runs", sql.MONITOR_RUNS, *_below("monitor.ran")),
    _of("people", "People who acted, by reference", sql.PEOPLE, Match("person.known")),
    _of("refusals", "Refusals", sql.REFUSALS, Match(REFUSED, is_wide=True)),
    _of(
        "residency-decisions",
        "Residency decisions",
        sql.RESIDENCY,
        Match("artifact.upload_authorised"),
        Match("artifact.download_authorised"),
        *_below("deployment.requested"),
        Match(REFUSED, error="residency-refused", is_wide=True),
    ),
    Population(
        "revocations",
        "Revocations and liftings",
        sql.SAID + sql.REVOCATIONS,
        (Match("revocation.recorded", is_everywhere=True), Match("revocation.lifted", is_everywhere=True)),
        since=2,
    ),
    _of("statements", "Signed statements", sql.STATEMENTS, Match("statement.admitted")),
    _of("versions", "Model versions", sql.VERSIONS, Match("version.registered")),
)
"""All of the present format: a bundle has each of them and no other."""


def of_format(name: str) -> tuple[Population, ...]:
    """Return the populations of a format (`manifest.FORMATS`)."""
    number = FORMATS.index(name) + 1
    return tuple(one for one in ALL if one.since <= number)


BY_NAME = {one.name: one for one in ALL}
