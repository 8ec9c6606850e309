# SPDX-License-Identifier: Apache-2.0
"""The training job: ``python -m runners.zone.trainer SPEC.json [--on ray|process]``.

On Ray the run is one task of the job's own cluster; as a process it runs here.  Exit code 0 means that all four files
are written and the export was proven (`runners.zone.training`); 2 means a sentence on what was wrong was printed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from khatim.errors import KhatimError
from runners.zone import training
from runners.zone.recipe import TrainingSpec, code_digest

__all__ = ["code_digest", "main"]

_FAILED = 2


def _train_on_ray(spec: TrainingSpec) -> dict[str, Any]:
    import ray  # noqa: PLC0415 - the only import of Ray: the agent never loads it

    ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(training.train)
        record: dict[str, Any] = ray.get(task.remote(spec, "ray"))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KhatimError):
            raise error.cause from error
        raise
    else:
        return record
    finally:
        ray.shutdown()


def main(arguments: list[str]) -> int:
    """Train; print one line of summary, or one sentence on what was wrong and return 2."""
    parser = argparse.ArgumentParser(prog="python -m runners.zone.trainer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("spec", type=Path, help="the specification, JSON")
    parser.add_argument("--on", choices=("ray", "process"), default="ray", help="where the training runs")
    asked = parser.parse_args(arguments)
    try:
        spec = TrainingSpec.from_json(asked.spec.read_bytes())
        record = _train_on_ray(spec) if asked.on == "ray" else training.train(spec)
    except KhatimError as error:
        sys.stderr.write(f"Training failed: {error.detail} {error.advice}".rstrip() + "\n")
        return _FAILED
    sys.stdout.write(
        f"Trained {record['recipe']} on {record['split']['trained']} rows in {record['seconds']} s; "
        f"ONNX parity {record['onnx_parity']:.1e}.\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
