# SPDX-License-Identifier: Apache-2.0
"""``khatim policy`` on a registry that listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from khatim.errors import Malformed, SeparationOfDuties
from tests.khatim.test_cli import Terminal
from tests.support.people import ADEL, MONA, PAVEL, SAMI
from tests.support.world import World

BECAUSE = ("--because", "the committee decided so")


@pytest.fixture
def engineer(listening: tuple[World, str]) -> Terminal:
    return Terminal(*listening, PAVEL)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "roles.csv").write_text("p, data-scientist, *, *, version.approve, allow\n")
    (folder / "README.md").write_text("left out")
    return folder


def test_a_simulation_is_told_in_sentences(engineer: Terminal, rules: Path) -> None:
    told = engineer.run("policy", "simulate", str(rules))
    as_json = engineer.json("policy", "simulate", str(rules / "roles.csv"))

    assert "data-scientist: version.approve: no -> yes in -/-" in told
    assert "movements: as now" in told
    assert "live endpoints: as now" in told
    assert "approvals that would have to be given anew: " in told
    assert [one["action"] for one in as_json["access"]] == ["version.approve"]


def test_one_file_lies_beside_those_in_force(engineer: Terminal, tmp_path: Path) -> None:
    before = engineer.json("policy", "current")
    gates = tmp_path / "gates.yaml"
    gates.write_text("# nothing\n")

    assert "nothing: these rules are in force" in engineer.run("policy", "simulate", str(gates))
    said = engineer.run("policy", "current", "--to", str(tmp_path / "copy"))
    assert said.startswith(before["digest"])
    assert {path.name: path.read_text() for path in (tmp_path / "copy").iterdir()} == before["files"]


def test_a_proposal_is_made_shown_and_withdrawn(listening: tuple[World, str], engineer: Terminal, rules: Path) -> None:
    said = engineer.run("policy", "propose", str(rules), *BECAUSE, "--ticket", "CHG-17")
    [made] = [one for one in engineer.json("policy", "list") if one["ticket"] == "CHG-17"]

    assert f"khatim policy approve {made['id']}" in said
    assert "data-scientist: version.approve: no -> yes" in engineer.run("policy", "show", made["id"])
    own = Terminal(*listening, PAVEL.also(*MONA.roles))
    with pytest.raises(SeparationOfDuties):
        own.run("policy", "approve", made["id"], *BECAUSE)
    engineer.run("policy", "withdraw", made["id"], *BECAUSE)
    shown = Terminal(*listening, ADEL).json("policy", "show", made["id"])
    assert (shown["state"], shown["files"]) == ("withdrawn", {"roles.csv": (rules / "roles.csv").read_text()})


def test_what_is_wrong_is_told_by_file_and_line(listening: tuple[World, str], tmp_path: Path) -> None:
    wrong = tmp_path / "roles.csv"
    wrong.write_text("p, data-scientist, *, *, version.aprove, allow\n")
    with pytest.raises(Malformed, match=r"roles\.csv:1: no action matches"):
        Terminal(*listening, SAMI).run("policy", "simulate", str(wrong))
