# SPDX-License-Identifier: Apache-2.0
"""The real rows of the demo, as features: Breast Cancer Wisconsin (diagnostic), which scikit-learn ships."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_breast_cancer

from runners.zone.recipe import GRADIENT_BOOSTING, TrainingSpec

KEY = "sample_id"
LABEL = "malignant"


@functools.cache
def table() -> pa.Table:
    """Return 569 rows: key, thirty features in 64 bits, and whether the tumour is malignant."""
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    keys = [f"s{i:04d}" for i in range(len(data.data))]
    columns = {name: np.ascontiguousarray(data.data[:, i]) for i, name in enumerate(names)}
    return pa.table({KEY: keys, **columns, LABEL: data.target == 0})


def spec(folder: Path, rows: pa.Table | None = None, **changes: object) -> TrainingSpec:
    """Write the features into *folder* and return how to train on them."""
    pq.write_table(table() if rows is None else rows, folder / "features.parquet")
    values: dict[str, object] = {
        "recipe": GRADIENT_BOOSTING,
        "features": str(folder / "features.parquet"),
        "entity_key": KEY,
        "label": LABEL,
        "out": str(folder / "out"),
        "seed": 7,
    }
    return TrainingSpec(**{**values, **changes})  # type: ignore[arg-type]
