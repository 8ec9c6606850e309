# SPDX-License-Identifier: Apache-2.0
"""The anchors of access decisions: `casbin.Enforcer` as its documentation shows it, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from khatim.cli.benchmarks.processes import ROOT

_BY_PERSON = """
[request_definition]
r = sub, zone, namespace, action

[policy_definition]
p = role, zone, namespace, action, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.role) && keyMatch(r.zone, p.zone) && keyMatch(r.namespace, p.namespace) && keyMatch(r.action, p.action)
"""


def enforcer() -> Any:
    """Return an enforcer of the shipped model and grants."""
    import casbin

    from policies.grants import read_grants

    folder = ROOT / "policies"
    model = casbin.Model()
    model.load_model_from_text((folder / "access.conf").read_text(encoding="utf-8"))
    made = casbin.Enforcer(model)
    made.add_policies([list(one.row) for one in read_grants((folder / "roles.csv").read_text(encoding="utf-8"))])
    return made


def enterprise(rows: Sequence[Sequence[str]], roles: Mapping[str, Sequence[str]]) -> Any:
    """Return an enforcer of *rows* (role, zone, namespace, action, effect) in which people hold *roles*."""
    import casbin

    model = casbin.Model()
    model.load_model_from_text(_BY_PERSON)
    made = casbin.Enforcer(model)
    made.add_policies([list(row) for row in rows])
    made.add_grouping_policies([[person, role] for person, held in roles.items() for role in held])
    return made
