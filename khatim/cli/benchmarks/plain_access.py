# SPDX-License-Identifier: Apache-2.0
"""The anchor of access decisions: a `casbin.Enforcer` on the shipped model and grants, and nothing else."""

from __future__ import annotations

from typing import Any

from khatim.cli.benchmarks.processes import ROOT


def enforcer() -> Any:
    """Return the enforcer."""
    import casbin

    folder = ROOT / "policies"
    model = casbin.Model()
    model.load_model_from_text((folder / "access.conf").read_text(encoding="utf-8"))
    made = casbin.Enforcer(model)
    lines = (folder / "roles.csv").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.startswith("p,")]
    made.add_policies([row[1:] for row in rows])
    return made
