# SPDX-License-Identifier: Apache-2.0
"""The door to skl2onnx: a scikit-learn classifier as an ONNX model, and the proof that both say the same.

scikit-learn's trees compare ``float32(x)`` with a 64-bit threshold; an ONNX tree compares 32 bits with 32 bits.  The
two agree on every 32-bit input when a threshold is rounded *down* to 32 bits, which skl2onnx does, and the features
are 32-bit already when the trees are grown.  The rest is summation in 32 bits, about 1e-7.  `parity` measures it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from khatim.errors import VerificationFailed
from runners.zone import onnx_runtime

INPUT = "features"
LABEL = "label"
PROBABILITIES = "probabilities"
TOLERANCE = 1e-5  # issue 2, step 8: served predictions equal scikit-learn's to this
OPSET = {"": 18, "ai.onnx.ml": 3}
FEATURES_KEY = "khatim.features"  # metadata property: JSON list of the input columns in order


def export(estimator: Any, feature_order: Sequence[str], *, name: str) -> bytes:
    """Return *estimator* as ONNX: input ``features`` float32 [rows, n]; outputs ``label`` and ``probabilities``.

    The bytes depend on the estimator and the arguments alone, so that a repeated run gives the same digest.
    """
    model: onnx.ModelProto = convert_sklearn(
        estimator,
        name=name,
        initial_types=[(INPUT, FloatTensorType([None, len(feature_order)]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=OPSET,
    )
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {FEATURES_KEY: json.dumps(list(feature_order))})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def parity(model: bytes, estimator: Any, rows: NDArray[np.float32]) -> float:
    """Return the largest difference between the probabilities of both on *rows*; raises when labels differ.

    Raises `khatim.errors.VerificationFailed` when it is above `TOLERANCE` or any label differs: such a model must not
    leave the training room.
    """
    served = onnx_runtime.load(model, providers=(onnx_runtime.CPU,)).predict({INPUT: rows})
    expected = estimator.predict_proba(rows)
    worst = float(np.max(np.abs(served[PROBABILITIES] - expected), initial=0.0))
    flipped = int(np.count_nonzero(served[LABEL] != estimator.predict(rows)))
    if worst > TOLERANCE or flipped:
        raise VerificationFailed(
            f"The exported model differs from the trained one: by {worst:.2e} at most, {flipped} labels flipped.",
            advice="Train on 32-bit features, or check the converter's version.",
        )
    return worst
