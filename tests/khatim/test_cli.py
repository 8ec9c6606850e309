# SPDX-License-Identifier: Apache-2.0
"""The command line against a registry that listens: tables for people, JSON for programs, errors as sentences."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from audit.checkpoint import NoteSigner
from khatim.cli.main import app, main
from khatim.errors import Forbidden, LedgerInvalid, Malformed, PersonalData, SeparationOfDuties
from khatim.vocabulary import Role
from tests.support.people import ADEL, MONA, PAVEL, PETRA, SAMI, VERA, Person, person
from tests.support.world import DATASET, MODEL, VIEW, ZONE, World

VERSION = f"{MODEL}@1"


class Terminal:
    """Runs commands as one person."""

    def __init__(self, world: World, url: str, person: Person) -> None:
        self.variables = {"KHATIM_SERVER": url, "KHATIM_TOKEN": world.token(person)}

    def run(self, *words: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, list(words), env=self.variables)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return done.output

    def json(self, *words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"], env=self.variables)
        assert done.exit_code == 0, done.exception
        return json.loads(done.stdout)


@pytest.fixture
def auditor(listening: tuple[World, str]) -> Terminal:
    return Terminal(*listening, ADEL)


@pytest.fixture
def platform(listening: tuple[World, str]) -> Terminal:
    return Terminal(*listening, PAVEL)


@pytest.mark.parametrize(
    ("words", "shows"),
    [
        (["dataset", "list"], DATASET),
        (["features", "list"], VIEW),
        (["model", "list"], "malignancy"),
        (["version", "list", MODEL], VERSION),
        (["deployment", "list"], "serving"),
        (["authorisation", "list"], "approved"),
        (["job", "list"], "train"),
        (["zones"], "ae-health"),
        (["ledger", "list"], "version.promoted"),
    ],
)
def test_every_listing_is_a_table_for_people_and_json_for_programs(
    auditor: Terminal, words: list[str], shows: str
) -> None:
    assert shows in auditor.run(*words)
    found = auditor.json(*words)

    assert isinstance(found, list)
    assert shows in json.dumps(found)


@pytest.mark.parametrize(
    ("words", "shows"),
    [
        (["whoami"], "auditor"),
        (["dataset", "show", DATASET], "quarantine"),
        (["features", "show", VIEW], "arrow schema"),
        (["model", "show", MODEL], VERSION),
        (["version", "show", VERSION], "model-risk-approver"),
        (["version", "gate", VERSION], "production/stage"),
        (["ledger", "show", "0"], "ledger.opened"),
        (["ledger", "show", "1", "--receipt"], "checkpoint"),
    ],
)
def test_every_thing_can_be_shown(auditor: Terminal, words: list[str], shows: str) -> None:
    assert shows in auditor.run(*words)
    assert isinstance(auditor.json(*words), dict)


def test_what_is_asked_of_the_registry_by_hand_is_done(listening: tuple[World, str], tmp_path: Path) -> None:
    scientist, risk = Terminal(*listening, SAMI), Terminal(*listening, MONA)
    made = scientist.json("model", "create", "oncology/staging", "--description", "TNM staging", "--tier", "1")
    assert made["tier"] == 1
    assert scientist.json("version", "alias", VERSION, "candidate")["alias"] == "candidate"
    asked = scientist.json(
        "authorisation", "request", "oncology", "--dataset", DATASET, "--purpose", "staging", "--zone", ZONE,
        "--runs", "2", "--for", "12h",
    )  # fmt: skip
    assert asked["state"] == "requested"
    assert asked["code_digest"].startswith("sha256:")
    approved = risk.json("authorisation", "approve", asked["id"], "--because", "the purpose fits")
    assert approved["state"] == "approved"
    job = scientist.json(
        "training", "start", "oncology/staging", "--authorisation", asked["id"], "--features", VIEW,
        "--parameter", "max_depth=3", "--parameter", "learning_rate=0.1", "--parameter", "loss=log_loss", "--no-wait",
    )  # fmt: skip
    assert job["kind"] == "train"
    assert scientist.json("job", "show", job["id"])["state"] == "queued"
    platform = Terminal(*listening, PAVEL)
    assert platform.json("job", "cancel", job["id"], "--because", "not now")["state"] == "cancelled"
    evaluation = Terminal(*listening, VERA).json("version", "evaluate", VERSION, "--min", "roc_auc=0.9", "--no-wait")
    assert evaluation["kind"] == "evaluate"
    assert risk.json("authorisation", "revoke", asked["id"], "--because", "not now")["state"] == "revoked"
    [deployment] = platform.json("deployment", "list")
    assert platform.json("monitor", "run", deployment["id"], "--no-wait")["kind"] == "monitor"
    assert platform.run("finding", "list").strip() == "No findings."


def test_a_version_is_verified_from_the_model_to_the_raw_file(auditor: Terminal, tmp_path: Path) -> None:
    said = auditor.run("verify", VERSION, "--strict")
    dossier = auditor.json("version", "show", VERSION)

    assert "holds: 4 nodes" in said
    assert "handed out by the registry itself" in said
    assert dossier["digest"] in said


def test_a_pinned_trusted_root_that_is_not_this_registrys_fails(
    listening: tuple[World, str], auditor: Terminal, tmp_path: Path
) -> None:
    world, _ = listening
    root = tmp_path / "trusted_root.json"
    root.write_text(json.dumps(world.parts.notary.trusted_root))
    assert f"of the file {root}" in auditor.run("verify", VERSION, "--trusted-root", str(root))
    root.write_text(root.read_text().replace("ca.test.khatim", "ca.other.khatim"))
    assert "may not make statements" in auditor.run("verify", VERSION, "--trusted-root", str(root), status=1)
    root.write_text("no JSON")
    with pytest.raises(Malformed, match="not a trusted root"):
        auditor.run("verify", VERSION, "--trusted-root", str(root))


def test_the_ledger_is_derived_again_over_http(listening: tuple[World, str], auditor: Terminal) -> None:
    report = auditor.json("ledger", "verify")
    said = auditor.run("ledger", "verify", "--vkey", report["vkey"])

    assert report["size"] == sum(report["kinds"].values())
    assert report["root"] in said
    assert "re-derive" in said
    assert f"{report['vkey']}, given" in said


def test_a_ledger_of_another_key_fails_and_names_the_place(auditor: Terminal) -> None:
    other = NoteSigner("ledger.test.khatim", Ed25519PrivateKey.generate()).vkey
    with pytest.raises(LedgerInvalid) as error:
        auditor.run("ledger", "verify", "--vkey", other)

    assert error.value.members["place"] == "checkpoint"


def test_an_error_is_a_sentence_with_its_rule_basis_and_advice(
    platform: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in platform.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["khatim", "version", "deploy", VERSION, "--zone", "ext-de"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err

    assert ended.value.code == 1
    assert "The bytes may not be there:" in said
    assert "rule: health.ae/outside-state" in said
    assert "legal basis: Federal Law 2/2019" in said
    assert "certainty: S" in said


def test_without_a_token_or_an_address_the_way_to_get_one_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("KHATIM_SERVER", "KHATIM_TOKEN", "KHATIM_DATA"):
        monkeypatch.delenv(name, raising=False)
    for words, told in (
        (["model", "list"], "khatim token issue"),
        (["model", "list", "--token", "t", "--data", str(tmp_path)], "khatim up --data"),
        (["model", "list", "--token", "t", "--server", "http://127.0.0.1:1"], "does not answer"),
    ):
        monkeypatch.setattr(sys, "argv", ["khatim", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert told in capsys.readouterr().err.replace("\n", " ")


def test_the_address_of_a_local_server_is_found_in_its_folder(
    listening: tuple[World, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world, url = listening
    monkeypatch.delenv("KHATIM_SERVER", raising=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "server.json").write_text(json.dumps({"pid": 1, "url": url}))
    done = CliRunner().invoke(
        app, ["whoami", "--json", "--data", str(tmp_path)], env={"KHATIM_TOKEN": world.token(ADEL)}
    )

    assert json.loads(done.stdout)["ref"] == ADEL.ref


@pytest.mark.parametrize(
    "words",
    [[], ["model"], ["version", "register"], ["ledger"], ["engagement"], ["verify"], ["agent", "run"], ["demo"]],
)
def test_every_command_explains_itself(words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])

    assert done.exit_code == 0
    assert "Usage:" in done.output


# -- people --


def test_a_privacy_officer_sees_who_somebody_is_and_two_people_erase_them(listening: tuple[World, str]) -> None:
    nadia = person("Nadia", Role.VALIDATOR)  # decided nothing: who did stays known for as long as the decision is kept
    petra, mona, guest = (Terminal(*listening, one) for one in (PETRA, MONA, nadia))
    guest.run("whoami")
    shown = petra.json("people", "show", nadia.ref, "--because", "the regulator asked")
    assert (shown["display_name"], shown["erased"]) == (nadia.name, False)
    with pytest.raises(Forbidden):
        guest.run("people", "show", PETRA.ref, "--because", "I am curious")
    why = ["--legal-basis", "PDPL Art 15", "--because", "left and asked for it"]
    asked = petra.run("people", "erase", nadia.ref, *why)
    [row] = petra.json("people", "erasures")
    assert f"khatim people approve {row['id']}" in asked
    with pytest.raises(SeparationOfDuties):
        petra.run("people", "approve", row["id"])
    try:
        assert mona.json("people", "approve", row["id"])["state"] == "done"
        assert petra.json("people", "show", nadia.ref, "--because", "is she gone?")["erased"]
    finally:
        for path in listening[0].parts.vault.graves.paths:  # other worlds share this folder
            path.unlink(missing_ok=True)
    assert nadia.ref in petra.run("people", "erasures")


def test_a_reason_that_names_somebody_is_refused_with_advice(listening: tuple[World, str]) -> None:
    with pytest.raises(PersonalData, match="e-mail address") as raised:
        Terminal(*listening, PETRA).run("people", "show", VERA.ref, "--because", "asked by vera@hospital.ae")

    assert "business reasons" in raised.value.advice
