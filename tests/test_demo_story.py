# SPDX-License-Identifier: Apache-2.0
"""The demo as a user runs it: one command, real processes, twelve steps, four files, and nothing left running."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from governance.reports.bundle import verify_bundle_file
from khatim import contracts
from khatim.cli.story import processes, sample
from khatim.cli.story.performance import OUTPUTS
from khatim.cli.story.timeline import Timeline
from khatim.cli.story.world import World
from khatim.errors import Refused, Unavailable, VerificationFailed
from runners.zone import ingestion

LIMIT_S = 240


@dataclass
class Run:
    """One run of the demo."""

    done: subprocess.CompletedProcess[str]
    out: Path
    left: list[psutil.Process]

    def timeline(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self.out / "timeline.json").read_text())
        return body


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Play the story once for all tests of this module."""
    out = tmp_path_factory.mktemp("demo")
    scratch = tmp_path_factory.mktemp("scratch")
    command = [sys.executable, "-m", "khatim", "demo", "--once", "--out", str(out)]
    environment = {**os.environ, "TMPDIR": str(scratch), "KHATIM_PORT": "an outer setting that is not the story's"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S + 40)
    left = [one for one in psutil.process_iter(["cmdline"]) if str(scratch) in " ".join(one.info["cmdline"] or [])]
    # PostgreSQL removes its pid file, which pg_ctl waits for, some moments before it ends.
    _, left = psutil.wait_procs(left, timeout=30)
    yield Run(done, out, left)
    for one in left:
        one.kill()


pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@pytest.mark.slow
def test_the_story_ends_well_in_time_and_leaves_its_outputs_and_nothing_else(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stdout[-6000:] + run.done.stderr[-2000:]
    assert sorted(one.name for one in run.out.iterdir()) == sorted(OUTPUTS)
    assert run.timeline()["seconds"] < LIMIT_S
    assert run.left == []


@pytest.mark.slow
def test_all_twelve_steps_are_told_in_order_each_with_its_place_in_the_ledger(run: Run) -> None:
    moments = run.timeline()["moments"]
    steps, entries = [one["step"] for one in moments], [one["entry"] for one in moments]

    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 13))
    assert entries == sorted(entries)
    assert all(one["result"] or one["who"] for one in moments)


@pytest.mark.slow
def test_every_refusal_names_its_rule_and_stands_in_the_ledger(run: Run) -> None:
    refusals = {one["what"]: one["result"] for one in run.timeline()["moments"] if one["is_refusal"]}
    told = "\n".join(refusals.values())

    assert len(refusals) == 8  # six by rules, the suspended endpoint, and the changed copy
    for words in (
        "rule training/purpose",
        "record-only",
        "skl2onnx",
        "0 of 1 live approvals by privacy-officer",
        "rule separation/requester",
        "rule health.ae/outside-state; basis Federal Law 2/2019 Art 13; MoHAP Decision 51/2021; certainty S",
        "suspended by finding:",
    ):
        assert words in told
    assert "entries, 6 of them refusals" in run.done.stdout


@pytest.mark.slow
def test_what_was_verified_is_written_down(run: Run) -> None:
    verified, ledger = (run.out / "verify.txt").read_text(), (run.out / "ledger.txt").read_text()

    assert "✓ holds: 4 nodes from the model to the raw file" in verified
    assert "✗" not in verified
    for ref in (
        "version:oncology/malignancy@1",
        "features:oncology/cell-shape@1",
        "dataset:oncology/wdbc@1",
        "artifact:",
    ):
        assert ref in verified
    assert "re-derive" in ledger


@pytest.mark.slow
def test_the_engagement_verifies_in_another_process_without_a_server(run: Run, tmp_path: Path) -> None:
    engagement = run.out / "engagement.zip"
    assert verify_bundle_file(engagement).subject == "version:oncology/malignancy@1"
    command = [sys.executable, "-m", "khatim", "engagement", "verify"]
    holds = subprocess.run([*command, str(engagement)], capture_output=True, text=True, check=False)
    data = bytearray(engagement.read_bytes())
    data[len(data) // 3] ^= 0x80
    changed = tmp_path / "changed.zip"
    changed.write_bytes(data)
    fails = subprocess.run([*command, str(changed)], capture_output=True, text=True, check=False)

    assert holds.returncode == 0, holds.stderr
    assert "holds:" in holds.stdout
    assert fails.returncode == 1
    assert "place:" in fails.stderr


# --- its parts ---


def test_the_raw_file_has_everybody_and_four_bad_rows(tmp_path: Path) -> None:
    raw = tmp_path / "wdbc.csv"
    assert sample.write(raw) == 573
    with raw.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with raw.open("rb") as data:
        made = ingestion.ingest(data, contracts.contract_of(sample.contract()))

    assert len(rows) == 573
    assert sum(row["malignant"] == "1" for row in rows[:569]) == 212
    assert (made.report["accepted"], made.report["quarantined"]) == (569, sample.BAD_ROWS)
    made.require_few(contracts.contract_of(sample.contract()))
    assert contracts.feature_view_of(sample.view()).label == sample.LABEL


def test_a_server_that_cannot_start_is_said_to_have_ended_with_its_last_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("not a folder")
    server = processes.start_server(data, tmp_path)
    try:
        with pytest.raises(Unavailable, match=r"(?s)the server ended: .*cannot be an"):
            processes.await_server(server, data)
    finally:
        server.stop()


def test_what_should_have_been_refused_and_was_not_ends_the_story(tmp_path: Path) -> None:
    page = StringIO()
    timeline = Timeline(Console(file=page, width=120), lambda: None)
    world = World(out=tmp_path, scratch=tmp_path, data=tmp_path, timeline=timeline)
    with (
        timeline,
        pytest.raises(VerificationFailed, match="but it was allowed"),
        timeline.moment(7, "scientist", "approves her own version") as now,
    ):
        world.refused(now, Refused, lambda: None)
    timeline.write(tmp_path / "timeline.json")

    assert "✗ approves her own version" in page.getvalue()
    assert json.loads((tmp_path / "timeline.json").read_text())["moments"] == []
