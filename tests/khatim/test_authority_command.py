# SPDX-License-Identifier: Apache-2.0
"""``khatim authority``: from founding to recovery, as an operator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.custody import Custody, custody_of
from gateway.instance import Instance
from khatim import settings
from khatim.cli.authority import app
from khatim.errors import KhatimError, Misconfigured
from registry.signing import rotation
from registry.signing.encoding import rfc3339
from tests.support.tokens import MODULE, PIN, make_token

OIDC = {"KHATIM_OIDC__ISSUER": "https://id.example.org", "KHATIM_OIDC__AUDIENCE": "khatim"}


class Operator:
    """Somebody at a terminal of an installation; `production` has an identity provider and sealed keys."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.phrases = {name: self._phrase(name) for name in ("service", "root", "kit", "other")}
        self._patch = patch
        patch.setenv("KHATIM_DATA", str(self.data))
        patch.setenv("KHATIM_INSTANCE", "demo")

    def _phrase(self, name: str) -> str:
        path = self.folder / f"{name}.passphrase"
        path.write_text(f"the {name} passphrase\n")
        path.chmod(0o600)
        return str(path)

    def production(self) -> Operator:
        for name, value in OIDC.items():
            self._patch.setenv(name, value)
        self._patch.setenv("KHATIM_AUTHORITY__STORE", "sealed")
        self.unlock("service")
        return self

    def unlock(self, name: str) -> None:
        self._patch.setenv("KHATIM_AUTHORITY__PASSPHRASE_FILE", self.phrases[name])

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words])

    def says(self, *words: str) -> Any:
        ran = self.run(*words, "--json")
        assert ran.exit_code == 0, (words, ran.output, ran.exception)
        return json.loads(ran.stdout)

    def refused(self, *words: str) -> KhatimError:
        ran = self.run(*words)
        assert ran.exit_code == 1
        assert isinstance(ran.exception, KhatimError)
        return ran.exception

    def offline(self) -> list[str]:
        return [str(self.folder / "stick"), "--root-passphrase-file", self.phrases["root"]]

    def found(self) -> None:
        self.says("create", "--offline-root", *self.offline())

    def prove(self, name: str = "kit") -> None:
        kit = str(self.folder / name)
        self.says("backup", "--to", kit, "--sealed", self.phrases["kit"])
        self.says("recovery-test", "--kit", kit, "--sealed", self.phrases["kit"])

    @property
    def held(self) -> Custody:
        return custody_of(settings.load(data=self.data), Instance(self.data))


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(tmp_path, monkeypatch)


def test_local_mode_keeps_everything_together_and_says_so(operator: Operator) -> None:
    operator.says("create")
    found = operator.says("status")

    assert "readable by the account of the server" in found["mode"]
    assert "not encrypted" in found["place"]
    assert [one["key"] for one in found["generations"]["roots"]] == ["root-1"]
    assert operator.held.faults() == []
    assert operator.says("rotate", "signing")["key"] == "signing-2"
    told = operator.run("status").stdout
    assert "local mode" in told
    assert "signing-2" in told


def test_production_starts_only_with_sealed_keys_an_offline_root_and_a_proved_kit(operator: Operator) -> None:
    held = operator.production().held
    assert "offline-root" in operator.refused("create").advice
    assert "own folder" in operator.refused("create", "--offline-root", str(operator.data / "root")).detail
    with pytest.raises(Misconfigured, match="no signing authority"):
        held.require_ready()
    operator.found()

    assert [name for name in held.keys().names() if name.startswith("root")] == []
    with pytest.raises(Misconfigured, match="no recovery test has been passed"):
        held.require_ready()
    operator.prove()
    held.require_ready()

    operator.says("rotate", "signature-log")
    with pytest.raises(Misconfigured, match="a rotation came after it") as refusal:
        held.require_ready()
    assert "authority backup" in refusal.value.advice
    operator.prove("second")
    held.require_ready()
    assert operator.says("status")["warnings"] == []


def test_production_refuses_plain_files_and_a_root_in_its_store(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.says("create")
    for name, value in OIDC.items():
        monkeypatch.setenv(name, value)

    faults = [fault.detail for fault in operator.held.faults()]
    assert any("plain files" in one for one in faults)
    assert any("the root (root-1) lies in the service's own store" in one for one in faults)
    assert any("no recovery test" in one for one in faults)


def test_khatim_up_does_not_start_production_with_keys_in_plain_files(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "khatim", "up", "--data", str(tmp_path / "data"), "--port", "0"],
        env={**os.environ, **OIDC}, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip

    assert ran.returncode == 1
    assert "keys lie in plain files" in ran.stderr
    assert "KHATIM_AUTHORITY__STORE" in ran.stderr
    assert not (tmp_path / "data" / "authority" / "sigstore").exists()


def test_keys_on_a_token_are_proved_with_the_token(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    make_token(operator.folder / "hsm", "khatim")
    pin = operator.folder / "pin"
    pin.write_text(PIN)
    pin.chmod(0o600)
    said = {"STORE": "pkcs11", "MODULE": str(MODULE), "TOKEN": "khatim", "PIN_FILE": str(pin)}
    for name, value in {**OIDC, **{f"KHATIM_AUTHORITY__{key}": value for key, value in said.items()}}.items():
        monkeypatch.setenv(name, value)
    operator.found()
    made = operator.says("backup", "--to", str(operator.folder / "kit"), "--sealed", operator.phrases["kit"])
    assert set(made["keys"].values()) == {"token"}
    operator.says("recovery-test", "--kit", str(operator.folder / "kit"), "--sealed", operator.phrases["kit"])

    operator.held.require_ready()
    assert "PKCS#11 token 'khatim'" in operator.says("status")["place"]
    assert operator.says("rotate", "signature-log")["key"] == "signature-log-2"
    with pytest.raises(Misconfigured, match="a rotation came after it"):
        operator.held.require_ready()


def test_a_ceremony_needs_the_root_and_a_rotation_does_not(operator: Operator) -> None:
    operator.production().found()

    assert "ceremony renew" in operator.refused("rotate", "signing").advice
    assert operator.says("rotate", "certificate-log")["key"] == "certificate-log-2"
    assert operator.says("ceremony", "renew", "signing", "--root", *operator.offline())["key"] == "signing-2"
    wrong = operator.refused(
        "ceremony", "renew", "signing", "--root", str(operator.folder / "stick"),
        "--root-passphrase-file", operator.phrases["kit"],
    )  # fmt: skip
    assert "passphrase is wrong" in wrong.detail
    made = operator.says("ceremony", "new-root", "--root", *operator.offline())["keys"]
    assert made == ["root-2", "signing-3", "timestamping-2"]
    assert [one["kind"] for one in operator.says("status")["history"]] == [
        "founded", "rotated", "rotated", "root_added", "rotated", "rotated",
    ]  # fmt: skip


def test_a_dry_run_does_nothing(operator: Operator) -> None:
    operator.production().found()
    kit = str(operator.folder / "kit")
    operator.says("backup", "--to", kit, "--sealed", operator.phrases["kit"])
    before = rotation.load(operator.held.folder), operator.held.keys().names()

    assert operator.says("rotate", "signature-log", "--dry-run")["new"] == "signature-log-2"
    renewed = operator.says("ceremony", "renew", "timestamping", "--root", *operator.offline(), "--dry-run")
    assert renewed["new"] == "timestamping-2"
    assert operator.says("ceremony", "new-root", "--root", *operator.offline(), "--dry-run")["root"] == "root-2"
    said = operator.says("restore", "--kit", kit, "--sealed", operator.phrases["kit"], "--dry-run")
    assert said["conflicts"] == [f"{operator.held.folder} is there already"]
    assert (rotation.load(operator.held.folder), operator.held.keys().names()) == before


def test_shares_are_shown_once_and_prove_the_kit(operator: Operator) -> None:
    operator.production().found()
    kit = str(operator.folder / "kit")
    made = operator.says("backup", "--to", kit, "--shares", "3", "--threshold", "2")
    file = operator.folder / "share"
    file.write_text(made["shares"][2])

    assert len(made["shares"]) == 3
    assert "Expected 2" in operator.refused("recovery-test", "--kit", kit, "--share", made["shares"][0]).detail
    proved = operator.says("recovery-test", "--kit", kit, "--share", made["shares"][0], "--share", f"@{file}")
    assert set(proved["generations"]) == {"signing-1", "timestamping-1", "certificate-log-1", "signature-log-1"}
    operator.held.require_ready()
    shown = operator.run("backup", "--to", str(operator.folder), "--shares", "3", "--threshold", "2").stdout
    assert shown.count("open the kit") == 3


def test_a_stolen_key_is_cut_off_by_its_purpose(operator: Operator) -> None:
    operator.says("create")
    assert "still in use" in operator.refused("compromise", "signing", "--since", "2026-01-01T00:00:00").detail
    operator.says("rotate", "signing")
    cut = operator.says("compromise", "signing", "--since", "2026-01-01T00:00:00")

    assert (cut["key"], cut["cut_off"]) == ("signing-1", "2026-01-01T00:00:00Z")
    # The rotation itself: the link to the new root is signed under the keys before it.
    assert [one["identity"] for one in cut["affected"]] == ["spiffe://demo.khatim/service/authority"]
    assert "2026-01-01T00:00:00Z (stolen)" in operator.run("status").stdout


def test_the_keys_are_sealed_under_another_passphrase(operator: Operator) -> None:
    operator.production().found()
    operator.says("reseal", "--passphrase-file", operator.phrases["other"])

    with pytest.raises(Misconfigured, match="passphrase is wrong"):
        operator.held.open()
    operator.unlock("other")
    operator.held.open().close()


def test_an_end_is_announced_in_good_time(operator: Operator) -> None:
    from khatim.cli.authority_status import report  # noqa: PLC0415

    operator.says("create")
    ends = operator.held.record.signing[-1].certificates[0].not_valid_after_utc
    soon, over = (report(operator.held, ends + timedelta(days=days))["warnings"] for days in (-30, 1))

    assert any("signing-1 runs out" in one and "in 30 days: khatim authority ceremony" in one for one in soon)
    assert any(f"signing-1 ran out at {ends.isoformat()}" in one for one in over)
    assert report(operator.held, ends - timedelta(days=200))["warnings"] == []
    assert rfc3339(ends)
