# SPDX-License-Identifier: Apache-2.0
"""The room of alibi-detect: its licence is known before it is loaded, and its silence is an error with a sentence."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Misconfigured, Refused, Unavailable
from runners.zone.drift import alibi_room
from runners.zone.drift.alibi_adapter import AlibiEngine
from runners.zone.drift.alibi_room import frame, licence_of, unframe
from runners.zone.drift.schema import DriftPlan
from tests.runners.zone.drift.test_engines import ROOM

ROWS = {"a": np.arange(40.0)}
PLAN = DriftPlan("sha256:r")


@pytest.mark.parametrize(
    ("version", "licence"),
    [
        ("0.11.4", "Apache-2.0"),
        ("0.9", "Apache-2.0"),
        ("0.11.5", "BUSL-1.1"),
        ("0.11.5rc1", "BUSL-1.1"),
        ("0.12.0", "BUSL-1.1"),
        ("0.13.0", "BUSL-1.1"),
        ("1.0", "BUSL-1.1"),
        ("unknown", "BUSL-1.1"),
    ],
)
def test_the_licence_follows_from_the_version(version: str, licence: str) -> None:
    assert licence_of(version) == licence


def test_the_room_says_which_version_and_licence_it_runs() -> None:
    assert AlibiEngine(ROOM).about() == ("0.11.4", "Apache-2.0")


def _room_with(version: str, folder: Path) -> Path:
    """Return an interpreter beside which alibi-detect has *version*: real metadata, a real process, no library."""
    info = folder / "site" / f"alibi_detect-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: alibi-detect\nVersion: {version}\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{folder}/site" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def test_a_business_source_version_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    python = _room_with("0.12.0", tmp_path)
    assert AlibiEngine(python).about() == ("0.12.0", "BUSL-1.1")
    with pytest.raises(Refused, match="Business Source License") as refused:
        AlibiEngine(python).detect(ROWS, ROWS, PLAN)
    assert refused.value.members["licence"] == "BUSL-1.1"
    # With an acceptance the room goes on, and fails here only because the library itself is not there.
    with pytest.raises(Unavailable, match="No module named 'alibi_detect'"):
        AlibiEngine(python, licence_acceptance="waiver:w-1").detect(ROWS, ROWS, PLAN)


def test_an_environment_that_is_not_there_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not there"):
        AlibiEngine(tmp_path / "python").about()
    (tmp_path / "python").write_text("not a program")
    with pytest.raises(Misconfigured, match="cannot be started"):
        AlibiEngine(tmp_path / "python").about()
    with pytest.raises(Unavailable, match="not installed in this environment"):
        AlibiEngine(Path(sys.executable)).about()


def test_a_room_that_is_silent_or_slow_is_unavailable(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(Unavailable, match="without an answer") as silent:
        AlibiEngine(python).about()
    assert silent.value.members["logs"] == "broken\n"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(Unavailable, match="within"):
        AlibiEngine(python, timeout_s=0.3).about()


@given(st.binary(), st.binary(), st.binary())
def test_a_request_survives_its_frame(plan: bytes, reference: bytes, sample: bytes) -> None:
    whole = frame(plan, reference, sample)
    assert unframe(io.BytesIO(whole)) == (plan, reference, sample)
    if sample:
        with pytest.raises(ValueError, match="ended early"):
            unframe(io.BytesIO(whole[:-1]))
    with pytest.raises(ValueError, match="no drift request"):
        unframe(io.BytesIO(b"?" + whole))


def test_the_room_imports_nothing_of_khatim() -> None:
    """Its environment has pydantic 1 and numpy 1; before the licence is read it loads the standard library only."""
    module = ast.parse(Path(alibi_room.__file__).read_text())
    names = {
        name.split(".")[0]
        for node in ast.walk(module)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert names - set(sys.stdlib_module_names) == {"numpy", "pyarrow", "alibi_detect"}
