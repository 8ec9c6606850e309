# SPDX-License-Identifier: Apache-2.0
"""The rows of ``roles.csv``: which role may do what, in which zones and namespaces, and when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Role, matches

GRANTS: Final = "roles.csv"
SERVICE_ROLE: Final = "service"  # what Khatim itself may do when it acts as `khatim.vocabulary.SERVICE`
ALWAYS: Final = "-"  # the condition of a row that has none
_SUBJECTS: Final = frozenset({*(role.value for role in Role), SERVICE_ROLE})
_CELLS: Final = (6, 7)  # p, role, zone, namespace, action, effect, and perhaps a condition


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of ``roles.csv``.  `place` is where it stands: ``roles.csv:17``; `condition` names when it speaks."""

    place: str
    role: str
    zone: str
    namespace: str
    action: str
    effect: str
    condition: str = ALWAYS

    @property
    def row(self) -> tuple[str, str, str, str, str, str]:
        """The row as Casbin takes it, without the leading ``p``."""
        return (self.role, self.zone, self.namespace, self.action, self.condition, self.effect)


def read_grants(text: str, name: str = GRANTS, conditions: Collection[str] = ()) -> tuple[Grant, ...]:
    """Read the rows of a ``roles.csv``; *conditions* are the names that a row may end with.

    Raises `Misconfigured` naming file and line for a row that says nothing.
    """
    grants: list[Grant] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{name}:{number}"
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) not in _CELLS or cells[0] != "p" or not all(cells):
            raise Misconfigured(
                f"{place}: a row reads p, role, zone, namespace, action, allow|deny[, condition], not {line!r}"
            )
        grant = Grant(place, *cells[1:])
        _check(grant, conditions)
        grants.append(grant)
    return tuple(grants)


def _check(grant: Grant, conditions: Collection[str]) -> None:
    if grant.role not in _SUBJECTS:
        raise Misconfigured(f"{grant.place}: there is no role {grant.role!r}; known: {', '.join(sorted(_SUBJECTS))}")
    if grant.effect not in {"allow", "deny"}:
        raise Misconfigured(f"{grant.place}: the effect is allow or deny, not {grant.effect!r}")
    for pattern in (grant.zone, grant.namespace, grant.action):
        if "*" in pattern[:-1]:
            raise Misconfigured(f"{grant.place}: a * stands at the end of a pattern only, not in {pattern!r}")
    if not any(matches(action.value, grant.action) for action in Action):
        raise Misconfigured(f"{grant.place}: no action matches {grant.action!r}")
    if grant.condition != ALWAYS and grant.condition not in conditions:
        known = ", ".join(sorted(conditions)) or "none"
        raise Misconfigured(
            f"{grant.place}: there is no condition {grant.condition!r} in conditions.yaml; known: {known}"
        )
