# SPDX-License-Identifier: Apache-2.0
"""Every pinned package is imported in the room it is pinned for: what resolves does not always import.

pyarrow 26 resolves beside numpy 1.26 and refuses it when it is imported; no resolver sees that.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Reads {name: version}; prints what is not there, has another version, or cannot be imported.
IMPORT = r"""
import importlib, json, keyword, sys, warnings
from importlib import metadata

def modules(distribution):
    # Top-level modules, as the record of installed files tells them; private ones only where there is no other.
    tops = set()
    for file in distribution.files or ():
        top = file.parts[0] if len(file.parts) > 1 else file.name.split(".")[0]
        if file.suffix in {".py", ".so"} and top.isidentifier() and not keyword.iskeyword(top):
            tops.add(top)
    tops -= {"tests", "test", "docs", "examples", "benchmarks"}
    return sorted(top for top in tops if not top.startswith("_")) or sorted(tops)

wrong, count = {}, 0
for name, version in json.load(sys.stdin).items():
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        wrong[name] = "not installed"
        continue
    if distribution.version != version:
        wrong[name] = f"{distribution.version} instead of {version}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules(distribution):
            try:
                importlib.import_module(module)
                count += 1
            except BaseException as error:
                wrong[name] = f"import {module}: {type(error).__name__}: {error}"
json.dump({"wrong": wrong, "imported": count}, sys.stdout)
"""


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "locks" / lock).read_text()
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", text))


@pytest.mark.parametrize(("lock", "room"), [("main.txt", ".venv"), ("alibi.txt", ".venv-alibi")])
def test_every_pinned_package_is_installed_and_imports_in_its_room(lock: str, room: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / room / "bin" / "python", "-c", IMPORT],
        input=json.dumps(pins(lock)), env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout[done.stdout.rindex('{"wrong"') :])

    assert report["wrong"] == {}
    assert report["imported"] >= len(pins(lock)) * 0.9


def test_the_rooms_keep_apart_what_cannot_stand_together() -> None:
    main, alibi = pins("main.txt"), pins("alibi.txt")

    assert main["numpy"].startswith("2.")
    assert alibi["numpy"].startswith("1.")
    assert main["pydantic"].startswith("2.")
    assert alibi["pydantic"].startswith("1.")
    assert "alibi-detect" not in main
    assert int(main["pyarrow"].split(".")[0]) > int(alibi["pyarrow"].split(".")[0])


def test_pytorch_comes_with_no_other_package() -> None:
    """Its build depends on the platform, so it is a step of its own; nobody may pull it in by the way."""
    assert not [name for name in pins("main.txt") if name == "torch" or name.startswith("nvidia-")]


def test_pytorch_is_the_pinned_one_where_it_is_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    try:
        installed = metadata.version("torch")
    except metadata.PackageNotFoundError:
        pytest.skip("PyTorch is not installed: make torch")

    assert extras["torch"] == [f"torch=={installed.split('+')[0]}"]
    assert importlib.import_module("torch").__version__ == installed
