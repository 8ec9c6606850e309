# SPDX-License-Identifier: Apache-2.0
"""Loading: a stable digest, errors that name the place, overlays, and a package that stays pure."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Actor, ActorKind, Digest, Resource, Role
from policies.loading import DEMO, HERE, PolicyBundle, load_runtime
from policies.runtime import Reaction, RuntimeEvent

FILES = [
    "access.conf",
    "roles.csv",
    "zones.yaml",
    "transfers.yaml",
    "gates.yaml",
    "formats.yaml",
    "runtime.yaml",
    "conditions.yaml",
    "retention.yaml",
    "assignments.yaml",
    "entities.yaml",
    "findings.yaml",
    "incidents.yaml",
    "sign_in.yaml",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the shipped files, to be spoilt."""
    home = tmp_path / "policies"
    home.mkdir()
    for name in FILES:
        shutil.copy(HERE / name, home / name)
    return home


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_digest_is_the_one_of_the_canonical_bytes(bundle: PolicyBundle, folder: Path) -> None:
    assert bundle.digest == Digest.of(bundle.canonical)
    assert PolicyBundle.load(folder).digest == bundle.digest
    assert {bundle.residency.policy, bundle.gates.policy, bundle.runtime.policy} == {str(bundle.digest)}


def test_a_comment_voids_no_approval_and_a_rule_does(bundle: PolicyBundle, folder: Path) -> None:
    with (folder / "gates.yaml").open("a") as file:
        file.write("\n# reviewed by counsel\n")
    assert PolicyBundle.load(folder).digest == bundle.digest

    edit(folder / "gates.yaml", "at_least: 0.95", "at_least: 0.94")
    assert PolicyBundle.load(folder).digest != bundle.digest


@pytest.mark.parametrize("name", FILES[1:])
def test_every_file_counts(bundle: PolicyBundle, folder: Path, name: str) -> None:
    changes: dict[str, Callable[[Path], None]] = {
        "roles.csv": lambda path: edit(path, "p, validator, *, *, ledger.read, allow\n", ""),
        "zones.yaml": lambda path: edit(path, "emirate: auh", "emirate: shj"),
        "transfers.yaml": lambda path: edit(path, "on: false", "on: true"),
        "gates.yaml": lambda path: edit(path, "max_age_days: 90", "max_age_days: 30"),
        "formats.yaml": lambda path: edit(path, ".dill, ", ""),
        "runtime.yaml": lambda path: edit(path, "hours: 336", "hours: 335"),
        "conditions.yaml": lambda path: edit(path, "strength: 2", "strength: 3"),
        "retention.yaml": lambda path: edit(path, "minimum_years: 5", "minimum_years: 6"),
        "assignments.yaml": lambda path: edit(path, "validator: 365", "validator: 364"),
        "entities.yaml": lambda path: edit(path, "everywhere: []", "everywhere: [group:risk]"),
        "incidents.yaml": lambda path: edit(path, "hours: 72", "hours: 48"),
        "findings.yaml": lambda path: edit(path, "count: 15", "count: 16"),
        "sign_in.yaml": lambda path: edit(path, "mfa: 2", "mfa: 3"),
    }
    changes[name](folder / name)

    assert PolicyBundle.load(folder).digest != bundle.digest


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(Misconfigured, match=name.replace(".", r"\.")):
        PolicyBundle.load(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("gates.yaml", "kind: status", "kind: statuz", r"gates\.yaml:\d+: requirements\.version/scanned\.kind"),
        ("gates.yaml", "max_age_days: 90", "max_age: 90", r"gates\.yaml:\d+: .*production/evaluated\.max_age"),
        ("gates.yaml", "max_age_days: 90", "max_age_days: ninety", r"production/evaluated\.max_age_days"),
        ("gates.yaml", "roles: [validator]", "roles: [walidator]", r"production/validator\.roles"),
        ("gates.yaml", "tiers: [1]", "tiers: [9]", r"production/second-opinion.*tiers"),
        ("gates.yaml", "    roles: [validator]\n", "", r"production/validator.*roles"),
        ("gates.yaml", "separation/two-roles:", "separation/three-roles:", r"separation"),
        ("gates.yaml", "{bound: lower, at_least: 0.95}", "{bound: lower}", r"roc_auc.*at_least"),
        ("gates.yaml", "requirements:", "requirements: [", r"gates\.yaml:\d+: not YAML"),
        (
            "gates.yaml",
            "staging/stage:",
            "version/signed:",
            r"gates\.yaml:\d+: requirements\.version/signed stands twice",
        ),
        (
            "transfers.yaml",
            "regime: dhcc",
            "regime: dhc",
            r"transfers\.yaml:\d+: rules\.dhcc/same-zone\.regime: there is no regime dhc",
        ),
        (
            "transfers.yaml",
            "mechanisms: [MOH-51]",
            "mechanisms: [MOH-52]",
            r"health\.ae/outside-state\.mechanisms: there is no mechanism",
        ),
        ("transfers.yaml", "to: [ae-gov]\n", "to: [ae-guv]\n", r"there is no column ae-guv"),
        ("transfers.yaml", "tags: [health.ae]", "tags: [health]", r"outside-state\.tags: there is no tag health"),
        ("transfers.yaml", "code: M\n    mechanisms: [MOH-51]", "code: M", r"health\.ae/outside-state.*mechanisms"),
        ("transfers.yaml", "requires: [exception_id,", "requires: [exceptions,", r"mechanisms\.MOH-51.*exceptions"),
        ("transfers.yaml", "flag: difc-lists-adgm", "flag: difc-list", r"DIFC-26-ADGM\.flag: there is no flag"),
        ("transfers.yaml", "to: [ae-fin, ae-health]", "to: [ae-health]", r"regime pdpl says nothing about ae-fin"),
        ("transfers.yaml", "certainty: S", "certainty: sure", r"transfers\.yaml:\d+"),
        ("zones.yaml", "location: AE", "location: UAE", r"zones\.yaml:\d+: zones\.ae-onshore\.location"),
        ("zones.yaml", "regimes: [pdpl]", "regimes: []", r"zones\.yaml:\d+: zones\.ae-onshore\.regimes"),
        ("zones.yaml", "regimes: [pdpl]", "regimes: [pdlp]", r"there is no regime pdlp"),
        ("zones.yaml", "parent: ae-health", "parent: ae-helth", r"zones\.ae-health-auh\.parent"),
        ("zones.yaml", "otherwise: foreign", "otherwise: alien", r"derived"),
        ("zones.yaml", "title: UAE mainland", "<<: UAE mainland", r"a key is one word"),
        ("formats.yaml", "endings: [.onnx]", "endings: [onnx]", r"formats\.yaml:\d+: formats\.onnx"),
        ("formats.yaml", r"'\APK\x03\x04'", r"'(PK'", r"regular expression"),
        ("runtime.yaml", "do: stop", "do: halt", r"runtime\.yaml:\d+: events\.revoked\.default\.do"),
        ("runtime.yaml", "  revoked:", "  retired:", r"runtime\.yaml:\d+"),
        ("runtime.yaml", "      1: {do: stop", "      one: {do: stop", r"events\.expired\.by_tier"),
        ("roles.csv", "p, validator", "p, walidator", r"roles\.csv:\d+: there is no role"),
        ("access.conf", "[matchers]", "[matcher]", r"access\.conf"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_key(folder: Path, name: str, old: str, new: str, words: str) -> None:
    edit(folder / name, old, new)

    with pytest.raises(Misconfigured, match=words):
        PolicyBundle.load(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "mapping"),
        ("a: &x 1\nb: *x\n", r"alias|requirements"),
        ("a: [&x {b: 1}, *x]\n", "alias"),
        ("? [a, b]\n: 1\n", "one word"),
        ("a: !!python/object/apply:os.system [ls]\n", r"Unexpected|not YAML|requirements|tag"),
        ("a: \x00\n", "not YAML"),
        ("", "requirements"),
        ("a: .inf\n", "requirements"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "gates.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(Misconfigured, match=words):
        PolicyBundle.load(folder)


def test_bytes_that_are_no_text_and_files_without_end_are_refused(folder: Path) -> None:
    (folder / "gates.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match="cannot be read"):
        PolicyBundle.load(folder)
    (folder / "gates.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(Misconfigured, match="larger"):
        PolicyBundle.load(folder)


def test_norway_is_a_country(folder: Path) -> None:
    """YAML 1.1 would read NO as false and on as true."""
    loaded = PolicyBundle.load(folder)

    assert "ext-no" in loaded.zones
    assert loaded.residency.transfers.flags["difc-lists-adgm"].on is False


def test_an_overlay_changes_what_it_names(bundle: PolicyBundle) -> None:
    demo = PolicyBundle.load(overlay=DEMO)

    assert demo.digest != bundle.digest
    assert demo.runtime.events[RuntimeEvent.DRIFT].default.do is Reaction.SUSPEND
    assert demo.gates.requirements == bundle.gates.requirements


def test_an_overlay_may_add_and_take_away(tmp_path: Path) -> None:
    (tmp_path / "runtime.yaml").write_text(
        "events:\n  unreachable:\n    by_tier: null\n    default: {do: stop, hours: null}\n", encoding="utf-8"
    )
    (tmp_path / "zones.yaml").write_text(
        "zones:\n  ae-lab: {title: Lab, family: ae-onshore, location: AE, regimes: [pdpl]}\n", encoding="utf-8"
    )
    (tmp_path / "roles.csv").write_text("p, validator, *, *, version.approve, deny\n", encoding="utf-8")

    loaded = PolicyBundle.load(overlay=tmp_path)

    assert not loaded.runtime.events[RuntimeEvent.UNREACHABLE].by_tier
    assert loaded.runtime.response(RuntimeEvent.UNREACHABLE, 2).do is Reaction.STOP
    assert "ae-lab" in loaded.zones
    validator = Actor("v", ActorKind.PERSON, frozenset({Role.VALIDATOR}))
    decision = loaded.access.decide(validator, Action.VERSION_APPROVE, Resource("version", "m@1", "oncology"))
    assert not decision
    assert decision.rule == f"{tmp_path.name}/roles.csv:1"


def test_a_mistake_in_an_overlay_is_told_there(tmp_path: Path) -> None:
    (tmp_path / "runtime.yaml").write_text("events:\n  drift:\n    default: {do: explode}\n", encoding="utf-8")

    with pytest.raises(Misconfigured, match=rf"{tmp_path.name}/runtime\.yaml:3: events\.drift\.default\.do"):
        load_runtime(overlay=tmp_path)


@pytest.mark.parametrize("name", ["access.conf", "gates.yml", "README.md"])
def test_an_overlay_holds_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("", encoding="utf-8")

    with pytest.raises(Misconfigured, match=name.replace(".", r"\.")):
        PolicyBundle.load(overlay=tmp_path)


def test_an_overlay_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="not a folder"):
        PolicyBundle.load(overlay=tmp_path / "missing")


def test_an_overlay_cannot_switch_a_separation_of_duties_off(tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text("separation:\n  separation/author: null\n", encoding="utf-8")

    with pytest.raises(Misconfigured, match="separation/author"):
        PolicyBundle.load(overlay=tmp_path)


def modules() -> list[Path]:
    return sorted(HERE.glob("*.py"))


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_casbin_and_yaml_have_one_door_each() -> None:
    assert [path.name for path in modules() if "casbin" in imported_by(path)] == ["access.py"]
    assert [path.name for path in modules() if "yaml" in imported_by(path)] == ["loading.py"]


def test_policies_know_no_clock_no_environment_and_no_network() -> None:
    for path in modules():
        assert not imported_by(path) & {"os", "time", "random", "secrets", "socket", "httpx", "sqlalchemy", "fastapi"}
        text = path.read_text(encoding="utf-8")
        assert ".now(" not in text, path.name
        assert "today(" not in text, path.name


def test_an_agent_without_casbin_reads_formats_and_runtime() -> None:
    code = (
        "import sys; sys.modules['casbin'] = None\n"
        "from policies.loading import load_formats, load_runtime\n"
        "print(load_formats().classify('m.pkl', b'\\x80\\x04.').verdict.value, len(load_runtime().events))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["record-only", "6"]
