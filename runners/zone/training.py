# SPDX-License-Identifier: Apache-2.0
"""One training run: read features, hold entities out, train, export to ONNX, prove the export, write.

Into the out folder go ``model.onnx``, ``training.json`` (the record for the SLSA provenance), ``holdout.parquet`` (for
the evaluation) and ``reference.parquet`` (for the drift monitor).  Nothing is written before the export was proven to
equal the estimator on every row.  The same features, specification and libraries give the same bytes.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from khatim.errors import Malformed, OutsideAuthorisation
from khatim.vocabulary import Digest
from runners.zone.recipe import (
    GRADIENT_BOOSTING,
    HOLDOUT_FILE,
    MODEL_FILE,
    RECORD_FILE,
    REFERENCE_FILE,
    TrainingSpec,
    code_digest,
    is_held_out,
    split_digest,
)

RECORD_SCHEMA = "khatim.training/1"
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyarrow", "scikit-learn", "scipy", "skl2onnx")


@dataclass(frozen=True, slots=True)
class Rows:
    """Feature rows as the model sees them (float32, columns in *order*), with label, held-out mark and keys."""

    order: tuple[str, ...]
    features: NDArray[np.float32]
    label: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    keys: tuple[object, ...]


def split(table: pa.Table, spec: TrainingSpec) -> Rows:
    """Read *table* as *spec* says; raises `khatim.errors.Malformed` when a column is missing, null or no number."""
    order = spec.feature_order or tuple(
        name for name in table.column_names if name not in {spec.entity_key, spec.label, *spec.ignored}
    )
    missing = [name for name in (spec.entity_key, spec.label, *order) if name not in table.column_names]
    if missing:
        raise Malformed(f"The features lack the column {', '.join(missing)}.")
    if spec.label in order or not order:
        raise Malformed("The label must not be a feature, and at least one feature is needed.")
    nulls = [name for name in (spec.entity_key, spec.label, *order) if table.column(name).null_count]
    if nulls:
        raise Malformed(f"The recipe {spec.recipe} takes no empty values, but these columns hold some: {nulls}.")
    columns = []
    for name in order:
        kind = table.schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise Malformed(f"The feature {name} is {kind}, not a number.")
        # 32 bits before the trees are grown: their thresholds are then those the ONNX model has.
        columns.append(table.column(name).to_numpy().astype(np.float32))
    features = np.column_stack(columns)
    if not np.isfinite(features).all():
        raise Malformed("A feature is not finite in 32 bits.")
    label = table.column(spec.label).to_numpy().astype(np.int64)
    if set(np.unique(label).tolist()) != {0, 1}:
        raise Malformed(f"The label {spec.label} must hold both 0 and 1 (or false and true) and nothing else.")
    keys = tuple(table.column(spec.entity_key).to_pylist())
    held = np.array([is_held_out(key, salt=spec.salt, share=spec.holdout_share) for key in keys], dtype=bool)
    for name, side in (("training", label[~held]), ("held-out", label[held])):
        if len(np.unique(side)) != 2:  # noqa: PLR2004 - the two classes
            raise Malformed(f"The {name} rows do not hold both classes; there are {len(side)} of them.")
    return Rows(order, features, label, held, keys)


def _read(path: str) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"The features cannot be read: {' '.join(str(error).split())[:300]}") from error


def _estimator(spec: TrainingSpec) -> Any:
    if spec.recipe == GRADIENT_BOOSTING:
        from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415 - loaded in the training room only

        try:
            return GradientBoostingClassifier(**{**spec.params, "random_state": spec.seed})
        except TypeError as error:
            raise Malformed(f"The recipe does not know a parameter: {error}.") from error
    raise Malformed(f"There is no recipe {spec.recipe!r}.")  # pragma: no cover - TrainingSpec refuses it first


def fit(rows: Rows, spec: TrainingSpec) -> Any:
    """Return the recipe's estimator, fitted on the rows that are not held out; the same rows give the same one."""
    estimator = _estimator(spec)
    trained = ~rows.held_out
    try:
        estimator.fit(rows.features[trained], rows.label[trained])
    except ValueError as error:  # scikit-learn checks parameter values when it fits
        raise Malformed(f"The estimator refuses its parameters: {error}") from error
    return estimator


def train(spec: TrainingSpec, ran_on: str = "process") -> dict[str, Any]:
    """Train as *spec* says, write the four files, and return the record that ``training.json`` holds.

    Raises `khatim.errors.OutsideAuthorisation` when the code is not the one that *spec* names,
    `khatim.errors.Malformed` for unusable features, and `khatim.errors.VerificationFailed` when the export differs.
    """
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score  # noqa: PLC0415

    from runners.zone import onnx_export  # noqa: PLC0415

    began = time.monotonic()
    code = code_digest()
    if spec.code_digest and spec.code_digest != str(code):
        raise OutsideAuthorisation(
            f"The training code is {code}, but {spec.code_digest} was approved.",
            advice="Have the present code authorised, or check out the approved one.",
        )
    table = _read(spec.features)
    rows = split(table, spec)
    estimator = fit(rows, spec)
    trained = ~rows.held_out
    model = onnx_export.export(estimator, rows.order, name=spec.recipe)
    worst = onnx_export.parity(model, estimator, rows.features)
    scores = estimator.predict_proba(rows.features[trained])[:, 1]
    out = Path(spec.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_FILE).write_bytes(model)
    pq.write_table(table.filter(pa.array(rows.held_out)), out / HOLDOUT_FILE)
    pq.write_table(_reference(rows, spec), out / REFERENCE_FILE)
    libraries = (*_LIBRARIES, "ray") if ran_on == "ray" else _LIBRARIES
    record = {
        "schema": RECORD_SCHEMA,
        "recipe": spec.recipe,
        "params": {name: value for name, value in estimator.get_params().items() if value is not None},
        "seed": spec.seed,
        "entity_key": spec.entity_key,
        "label": spec.label,
        "feature_order": list(rows.order),
        "split": {
            "digest": str(split_digest(rows.keys, rows.held_out.tolist(), salt=spec.salt, share=spec.holdout_share)),
            "salt": spec.salt,
            "share": spec.holdout_share,
            "trained": int(trained.sum()),
            "held_out": int(rows.held_out.sum()),
        },
        "training_metrics": {
            "accuracy": round(float(accuracy_score(rows.label[trained], scores >= 0.5)), 6),  # noqa: PLR2004
            "roc_auc": round(float(roc_auc_score(rows.label[trained], scores)), 6),
            "log_loss": round(float(log_loss(rows.label[trained], scores)), 6),
        },
        "onnx_parity": worst,
        "code_digest": str(code),
        "files": {
            name: str(Digest.of((out / name).read_bytes())) for name in (MODEL_FILE, HOLDOUT_FILE, REFERENCE_FILE)
        },
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
        "ran_on": ran_on,
        "seconds": round(time.monotonic() - began, 3),
    }
    (out / RECORD_FILE).write_text(json.dumps(record, sort_keys=True, indent=1) + "\n")
    return record


def _reference(rows: Rows, spec: TrainingSpec) -> pa.Table:
    """Draw the drift reference: training rows without key and label, in 32 bits as the endpoint will see its inputs."""
    trained = np.flatnonzero(~rows.held_out)
    count = min(spec.reference_rows, len(trained))
    chosen = np.sort(np.random.default_rng(spec.seed).choice(trained, size=count, replace=False))
    return pa.table({name: rows.features[chosen, i] for i, name in enumerate(rows.order)})
