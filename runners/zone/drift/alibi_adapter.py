# SPDX-License-Identifier: Apache-2.0
"""The door to alibi-detect: an engine that runs it in its own environment and process.

The process is `runners.zone.drift.alibi_room`.  It cannot share our environment: alibi-detect needs numpy 1 and
pydantic 1.  Rows go through a pipe as Arrow IPC, so no plaintext touches the disk, and the room sees none of the
agent's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from khatim.errors import Misconfigured, Refused, Unavailable
from runners.zone.drift.alibi_room import frame
from runners.zone.drift.schema import (
    BENJAMINI_HOCHBERG,
    Columns,
    DriftPlan,
    DriftReport,
    FeatureDrift,
    comparable,
)

ENGINE = "alibi-detect"
_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class AlibiEngine:
    """alibi-detect's TabularDrift.  *python* is the interpreter of its environment.

    *licence_acceptance* is the reference of a recorded acceptance; a version under the Business Source License is
    refused without one.  *timeout_s* covers the import (4 to 12 s) and the tests.
    """

    python: Path
    licence_acceptance: str = ""
    timeout_s: float = 120.0

    def about(self) -> tuple[str, str]:
        """Return version and SPDX licence of the alibi-detect in the environment, without loading it."""
        here = self._ask(["--about"], b"")
        return str(here["version"]), str(here["licence"])

    def detect(self, reference: Columns, sample: Columns, plan: DriftPlan) -> DriftReport:
        """Return what differs.

        Raises `khatim.errors.Malformed` when the two cannot be compared, `khatim.errors.Refused` for a version whose
        licence was not accepted, `khatim.errors.Misconfigured` without the environment, and
        `khatim.errors.Unavailable` when the room does not answer.
        """
        names = comparable(reference, sample, plan)
        asked = {
            "alpha": plan.alpha,
            "categorical": sorted(plan.categorical),
            "licence_acceptance": self.licence_acceptance,
        }
        found = self._ask(
            [], frame(json.dumps(asked).encode(), _stream(reference, names, plan), _stream(sample, names, plan))
        )
        return DriftReport(
            engine=ENGINE,
            engine_version=str(found["version"]),
            licence=str(found["licence"]),
            is_drift=bool(found["is_drift"]),
            alpha=plan.alpha,
            correction=BENJAMINI_HOCHBERG,
            reference_rows=len(reference[names[0]]),
            sample_rows=len(sample[names[0]]),
            reference_digest=plan.reference_digest,
            features=tuple(FeatureDrift(**row) for row in found["features"]),
        )

    def _ask(self, arguments: list[str], request: bytes) -> dict[str, Any]:
        if not self.python.is_file():
            raise Misconfigured(
                "The environment of alibi-detect is not there.",
                advice="Make it with `make .venv-alibi`, or choose the scipy engine.",
            )
        try:
            done = subprocess.run(  # noqa: S603 - our own module under an interpreter from the settings
                [str(self.python), "-W", "ignore", "-m", "runners.zone.drift.alibi_room", *arguments],
                input=request,
                capture_output=True,
                timeout=self.timeout_s,
                env=_environment(),
                cwd=_CHECKOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"alibi-detect did not answer within {self.timeout_s:g} s.") from None
        except OSError as error:
            raise Misconfigured(f"The interpreter of alibi-detect cannot be started: {error}.") from error
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            tail = done.stderr.decode(errors="replace")[-2000:]
            raise Unavailable("alibi-detect ended without an answer.", logs=tail) from None
        if "refused" in found:
            raise Refused(
                str(found["refused"]),
                advice="Install 0.11.4 (Apache-2.0), or record the acceptance of a licence that allows your use.",
                licence=str(found["licence"]),
            )
        if "error" in found:
            raise Unavailable(f"alibi-detect could not answer: {found['error']}.")
        return found


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **quiet, "PYTHONPATH": str(_CHECKOUT)}


def _stream(rows: Columns, names: tuple[str, ...], plan: DriftPlan) -> bytes:
    columns = {}
    for name in names:
        values = np.asarray(rows[name])
        columns[name] = pa.array(values.astype(str if name in plan.categorical else np.float64))
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
