# SPDX-License-Identifier: Apache-2.0
"""What scikit-learn itself says about the held-out patients: the yardstick for the governed endpoint.

Nothing is downloaded: the same raw file, contract, feature view, split and seed give the same estimator here.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khatim.cli.story import sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

SHIFT = 1.35  # another microscope: every length appears a third larger
SHIFTED_ROWS = 160


@dataclass(frozen=True)
class Yardstick:
    """The held-out rows as the model sees them, the estimator, and what it says: one probability of cancer a row."""

    order: tuple[str, ...]
    rows: Matrix
    probabilities: NDArray[np.float64]
    estimator: Any

    def pickled(self, to: Path) -> Path:
        """Write the estimator as notebooks do; raises nothing, and nobody should ever load it."""
        to.write_bytes(pickle.dumps(self.estimator))
        return to

    def shifted(self) -> Matrix:
        """Return held-out rows as a wrongly calibrated microscope would have measured them."""
        import numpy as np

        return (self.rows[:SHIFTED_ROWS] * np.float32(SHIFT)).astype(np.float32)

    def worst_difference(self, answered: NDArray[np.float64]) -> float:
        """Return the largest difference between *answered* and what the estimator says."""
        import numpy as np

        return float(np.max(np.abs(answered - self.probabilities)))


def train(csv: Path) -> Yardstick:
    """Train what the zone trains, here, from the raw file."""
    from khatim import contracts
    from runners.zone import features, ingestion, training
    from runners.zone.recipe import GRADIENT_BOOSTING, TrainingSpec

    with csv.open("rb") as file:
        made = ingestion.ingest(file, contracts.contract_of(sample.contract()))
    table = features.materialise(made.accepted, contracts.feature_view_of(sample.view()))
    spec = TrainingSpec(
        recipe=GRADIENT_BOOSTING,
        features="",
        entity_key=sample.ENTITY,
        label=sample.LABEL,
        out="",
        seed=sample.SEED,
        holdout_share=sample.HOLDOUT_SHARE,
    )
    rows = training.split(table, spec)
    estimator = training.fit(rows, spec)
    held = rows.features[rows.held_out]
    return Yardstick(rows.order, held, estimator.predict_proba(held)[:, 1], estimator)
