# SPDX-License-Identifier: Apache-2.0
"""The room of alibi-detect: a process in an environment of its own (numpy 1, pydantic 1), spoken to through pipes.

``python -m runners.zone.drift.alibi_room [--about]`` imports the standard library, numpy, pyarrow and alibi-detect, and
nothing of Khatim.  Standard input holds one request (`frame`): a plan in JSON, then reference and sample as Arrow IPC
streams; nothing touches the disk.  Standard output holds one JSON object: the findings, or ``{"refused": sentence}``,
or ``{"error": sentence}``.

alibi-detect is Apache-2.0 up to 0.11.4.  From 0.11.5 on it is under the Business Source License 1.1, which grants
production use to non-profit educational institutions only: the room refuses such a version before it loads it, unless
the plan names a recorded licence acceptance.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from importlib import metadata
from typing import IO, Any

MAGIC = b"KHATIM-DRIFT-1\n"
APACHE = "Apache-2.0"
BUSINESS_SOURCE = "BUSL-1.1"
_FIRST_BUSINESS_SOURCE = (0, 11, 5)
_LENGTHS = struct.Struct(">QQQ")


def licence_of(version: str) -> str:
    """Return the SPDX id of the licence of an alibi-detect *version*; an unreadable one counts as the stricter.

    >>> licence_of("0.11.4"), licence_of("0.11.5.dev0"), licence_of("0.13.0")
    ('Apache-2.0', 'BUSL-1.1', 'BUSL-1.1')
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not match:
        return BUSINESS_SOURCE
    numbers = tuple(int(part or 0) for part in match.groups())
    return APACHE if numbers < _FIRST_BUSINESS_SOURCE else BUSINESS_SOURCE


def frame(plan: bytes, reference: bytes, sample: bytes) -> bytes:
    """Return one request."""
    return b"".join([MAGIC, _LENGTHS.pack(len(plan), len(reference), len(sample)), plan, reference, sample])


def unframe(stream: IO[bytes]) -> tuple[bytes, bytes, bytes]:
    """Read what `frame` made; raises `ValueError`."""
    if stream.read(len(MAGIC)) != MAGIC:
        raise ValueError("this is no drift request")
    lengths = _LENGTHS.unpack(stream.read(_LENGTHS.size))
    plan, reference, sample = (stream.read(length) for length in lengths)
    if len(sample) != lengths[2]:
        raise ValueError("the drift request ended early")
    return plan, reference, sample


def about() -> dict[str, str]:
    """Return version and licence of the alibi-detect that is installed here, without loading it."""
    version = metadata.version("alibi-detect")
    return {"version": version, "licence": licence_of(version)}


def detect(plan: dict[str, Any], reference: bytes, sample: bytes) -> dict[str, Any]:
    """Run TabularDrift (KS per number, chi-squared per category, FDR over all) and return its findings."""
    import numpy as np  # noqa: PLC0415 - after the licence was checked, and not in the agent that imports `frame`
    import pyarrow as pa  # noqa: PLC0415
    from alibi_detect.cd import TabularDrift  # noqa: PLC0415

    tables = [pa.ipc.open_stream(pa.BufferReader(blob)).read_all() for blob in (reference, sample)]
    names = tables[0].column_names
    categorical = [i for i, name in enumerate(names) if name in set(plan["categorical"])]
    sides: list[list[Any]] = [[], []]
    for i, name in enumerate(names):
        values = [table.column(name).to_numpy(zero_copy_only=False) for table in tables]
        if i in categorical:
            texts = [side.astype(str) for side in values]
            _, codes = np.unique(np.concatenate(texts), return_inverse=True)
            values = [codes[: len(texts[0])], codes[len(texts[0]) :]]
        for side, column in zip(sides, values, strict=True):
            side.append(column.astype(np.float64))
    x, y = (np.column_stack(side) for side in sides)
    detector = TabularDrift(
        x, p_val=plan["alpha"], correction="fdr", categories_per_feature=dict.fromkeys(categorical) or None
    )
    data = detector.predict(y, drift_type="batch")["data"]
    # Without drift alibi-detect gives all candidate thresholds of the correction; the first is the one for one finding.
    threshold = float(np.min(data["threshold"]))
    return {
        "is_drift": bool(data["is_drift"]),
        "features": [
            {
                "feature": name,
                "test": "chi2" if i in categorical else "ks",
                "statistic": float(data["distance"][i]),
                "p_value": float(data["p_val"][i]),
                "threshold": threshold,
                "is_drift": bool(data["is_drift"]) and float(data["p_val"][i]) < threshold,
            }
            for i, name in enumerate(names)
        ],
    }


def answer(stream: IO[bytes]) -> dict[str, Any]:
    """Answer one request."""
    plan_json, reference, sample = unframe(stream)
    plan = json.loads(plan_json)
    here = about()
    if here["licence"] == BUSINESS_SOURCE and not plan.get("licence_acceptance"):
        return {
            **here,
            "refused": f"alibi-detect {here['version']} is under the Business Source License 1.1, which does not grant "
            "production use, and no acceptance of a licence is recorded.",
        }
    return {**here, **detect(plan, reference, sample)}


def main(arguments: list[str]) -> int:
    """Answer the request on standard input, or say which alibi-detect is here."""
    # Libraries print what they like to standard output; the answer goes where they cannot reach.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        try:
            found = about() if arguments == ["--about"] else answer(sys.stdin.buffer)
        except metadata.PackageNotFoundError:
            found = {"error": "alibi-detect is not installed in this environment"}
        except Exception as error:  # noqa: BLE001 - the room must answer; the agent raises the sentence
            found = {"error": f"{type(error).__name__}: {error}"}
        json.dump(found, out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
