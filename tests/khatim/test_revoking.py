# SPDX-License-Identifier: Apache-2.0
"""``khatim revoke`` and ``khatim revocations`` on a registry that listens, and what ``khatim verify`` then says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from khatim.errors import Forbidden, Malformed, SeparationOfDuties
from registry.signing.statements import OMS_SIGNATURE
from tests.khatim.test_cli import VERSION, Terminal
from tests.support.http import good
from tests.support.people import ADEL, MONA, PETRA, SAMI
from tests.support.world import DATASET, MODEL, World

WHY = ("--because", "it was stolen")


@pytest.fixture
def officer(listening: tuple[World, str]) -> Terminal:
    return Terminal(*listening, PETRA)


@pytest.fixture
def auditor(listening: tuple[World, str]) -> Terminal:
    return Terminal(*listening, ADEL)


def test_a_dry_run_says_what_would_stop_and_revokes_nothing(officer: Terminal, auditor: Terminal) -> None:
    asked = ("revoke", "artifact", f"dataset:{DATASET}", *WHY, "--since", "beginning", "--dry-run")
    before = auditor.json("revocations")
    said, found = officer.run(*asked), officer.json(*asked)

    assert "nothing was revoked" in said
    assert VERSION in said
    assert [one.removeprefix("version:") for one in found["versions"]] == [VERSION]
    assert len(found["deployments"]) == 1
    assert auditor.json("revocations") == before


@pytest.mark.parametrize(
    ("kind", "target"),
    [("identity", "agent/ae-health/nobody"), ("key", "serial:1234"), ("artifact", "sha256:" + "ab" * 32)],
)
def test_each_kind_is_revoked_from_a_moment_once(officer: Terminal, auditor: Terminal, kind: str, target: str) -> None:
    asked = ("revoke", kind, target, *WHY, "--since", "2026-01-31T12:00:00Z")
    first, second = officer.json(*asked), officer.json(*asked)

    assert (first["kind"], first["because"]) == (kind, "it was stolen")
    assert first["since"].startswith("2026-01-31T12:00:00")
    assert second["id"] == first["id"]
    assert [one["id"] for one in auditor.json("revocations")].count(first["id"]) == 1
    assert "it was stolen" in auditor.run("revocations")


def test_refusals_are_told_with_what_to_do(listening: tuple[World, str], officer: Terminal) -> None:
    with pytest.raises(Malformed) as refused:
        officer.run("revoke", "key", "password", *WHY)
    assert refused.value.advice
    with pytest.raises(Malformed) as refused:
        officer.run("revoke", "identity", "agent/ae-health/nobody", *WHY, "--since", "last Tuesday")
    assert refused.value.advice
    with pytest.raises(Forbidden):
        Terminal(*listening, SAMI).run("revoke", "identity", "agent/ae-health/nobody", *WHY)
    officer.run("revoke", "identity", "agent/ae-health/nobody", status=2)  # without a reason


def test_a_second_person_lifts(listening: tuple[World, str], officer: Terminal) -> None:
    made = officer.json("revoke", "identity", "agent/ae-health/somebody", *WHY)
    with pytest.raises(SeparationOfDuties) as refused:
        officer.run("revoke", "lift", made["id"], "--because", "it was not")
    assert refused.value.advice
    lifted = Terminal(*listening, MONA).json("revoke", "lift", made["id"], "--because", "it was not")

    assert lifted["lifts"] == made["number"]


def test_the_signed_list_is_kept_in_a_file(auditor: Terminal, tmp_path: Path) -> None:
    said = auditor.run("revocations", "--signed", str(tmp_path / "list.json"))

    assert "holds the signed list number" in said
    assert "dsseEnvelope" in json.loads((tmp_path / "list.json").read_text())


def test_a_revoked_statement_fails_the_version_and_a_newer_list_the_engagement(
    listening: tuple[World, str], officer: Terminal, auditor: Terminal, tmp_path: Path
) -> None:
    world, _ = listening
    world.sequence()
    file, newer = tmp_path / "engagement.zip", tmp_path / "list.json"
    auditor.run("engagement", "export", VERSION, "-o", str(file))
    assert "holds: " in auditor.run("verify", str(file), "--strict")
    assert auditor.json("verify", VERSION, "--strict")["faults"] == []
    dossier = good(world.as_(ADEL).get(f"/v1/models/{MODEL}/versions/1/dossier"))
    own = next(node for node in dossier["nodes"] if node["kind"] == "version")["statements"]
    [statement] = [one["digest"] for one in own if one["predicate_type"] == OMS_SIGNATURE]
    officer.run("revoke", "statement", statement, *WHY, "--since", "beginning")

    assert "it was stolen" in auditor.run("verify", VERSION, status=1)
    auditor.run("verify", str(file), "--strict")  # it holds by the list of its export
    auditor.run("revocations", "--signed", str(newer))
    said = auditor.run("verify", str(file), "--revocations", str(newer), "--strict", status=1)
    assert "held at its export, does not hold now" in said or "did not hold at its export" in said
    assert "it was stolen" in said
