# SPDX-License-Identifier: Apache-2.0
"""Work for agents to quarrel about: ingests asked for in a zone, and what the database says became of them."""

from __future__ import annotations

from typing import Any

from tests.support.agents import HandAgent, digest
from tests.support.http import good
from tests.support.people import DANA
from tests.support.world import ABROAD, CONTRACT, ZONE, World

OPEN_CONTRACT = {**CONTRACT, "tags": ["public"]}


def ask(world: World, name: str = "wdbc") -> str:
    """Ask for an ingest in the story's zone; return the job's id."""
    source = world.place("wdbc.csv", by=DANA)
    body = {"zone": ZONE, "source": source, "contract": CONTRACT}
    return str(good(world.as_(DANA).post(f"/v1/datasets/oncology/{name}/versions", body))["id"])


def ask_abroad(world: World, abroad: HandAgent) -> str:
    """Ask for an ingest of public data abroad; return the job's id."""
    upload = {"zone": ABROAD, "digest": digest("open.csv"), "size": 100, "tags": ["public"]}
    good(abroad.report(good(world.as_(DANA).post("/v1/uploads", upload))))
    body = {"zone": ABROAD, "source": digest("open.csv"), "contract": OPEN_CONTRACT}
    return str(good(world.as_(DANA).post("/v1/datasets/oncology/open/versions", body))["id"])


def job_of(world: World, job: str) -> dict[str, Any]:
    """Return a job as the person who asked for it sees it."""
    found: dict[str, Any] = good(world.as_(DANA).get(f"/v1/jobs/{job}"))
    return found


def kept(world: World) -> tuple[int, ...]:
    """Return how many datasets, placements, statements, pieces of evidence and versions there are."""
    tables = ("dataset_versions", "feature_view_versions", "model_versions", "placements", "statements", "evidence")
    return tuple(int(world.sql(f"SELECT count(*) FROM {table}")[0][0]) for table in tables)
