# SPDX-License-Identifier: Apache-2.0
"""Training on the real rows: the export says what the estimator says, and nothing is written before that is proven."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from khatim.errors import KhatimError, Malformed, OutsideAuthorisation, VerificationFailed
from khatim.vocabulary import Digest
from runners.zone import onnx_export, onnx_runtime, trainer, training
from runners.zone.recipe import TrainingSpec, code_digest
from tests.runners.zone import breast_cancer
from tests.runners.zone.breast_cancer import KEY, LABEL


def _estimator(spec: TrainingSpec) -> tuple[GradientBoostingClassifier, training.Rows]:
    rows = training.split(breast_cancer.table(), spec)
    estimator = GradientBoostingClassifier(random_state=spec.seed, **spec.params)
    estimator.fit(rows.features[~rows.held_out], rows.label[~rows.held_out])
    return estimator, rows


def test_predictions_equal_those_of_scikit_learn_on_the_whole_held_out_set(tmp_path: Path) -> None:
    spec = breast_cancer.spec(tmp_path)
    record = training.train(spec)
    estimator, rows = _estimator(spec)
    session = onnx_runtime.load(tmp_path / "out" / "model.onnx", (onnx_runtime.CPU,))
    held = pq.read_table(tmp_path / "out" / "holdout.parquet")
    assert held.num_rows == record["split"]["held_out"] == int(rows.held_out.sum()) > 100
    # The raw 64-bit rows go to scikit-learn, what a client can send (32 bits) to the model.
    raw = np.column_stack([held.column(name).to_numpy() for name in record["feature_order"]])
    served = session.predict(raw.astype(np.float32))
    assert np.max(np.abs(served["probabilities"] - estimator.predict_proba(raw))) <= 1e-5
    assert np.array_equal(served["label"], estimator.predict(raw))


def test_the_trees_agree_on_their_thresholds_and_beside_them(tmp_path: Path) -> None:
    """Where rounding to 32 bits could send a row down another branch: at each threshold, and one step to each side."""
    spec = breast_cancer.spec(tmp_path)
    estimator, rows = _estimator(spec)
    model = onnx_export.export(estimator, rows.order, name="m")
    found: list[NDArray[np.float32]] = []
    for tree in (stage[0].tree_ for stage in estimator.estimators_):
        for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
            if feature >= 0:
                near = np.float32(threshold)
                for value in (np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))):
                    row = rows.features[len(found) % len(rows.features)].copy()
                    row[feature] = value
                    found.append(row)
    assert len(found) > 1000
    assert onnx_export.parity(model, estimator, np.stack(found)) <= 1e-5


def test_a_model_that_differs_does_not_leave_the_room() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    one, other = (GradientBoostingClassifier(n_estimators=5, random_state=0) for _ in range(2))
    one.fit(x, x[:, 0] > 0)
    other.fit(x, x[:, 1] > 0)
    with pytest.raises(VerificationFailed, match="differs from the trained one"):
        onnx_export.parity(onnx_export.export(one, ("a", "b", "c"), name="m"), other, x)


def test_a_run_is_repeatable_to_the_byte(tmp_path: Path) -> None:
    records = [training.train(breast_cancer.spec(tmp_path, out=str(tmp_path / name))) for name in ("one", "two")]
    assert records[0]["files"] == records[1]["files"]
    assert records[0]["split"] == records[1]["split"]
    other = training.train(breast_cancer.spec(tmp_path, seed=8, params={"subsample": 0.5}))
    assert other["files"]["model.onnx"] != records[0]["files"]["model.onnx"]


def test_the_record_says_what_was_done(tmp_path: Path) -> None:
    record = training.train(breast_cancer.spec(tmp_path, params={"n_estimators": 30}, reference_rows=100))
    out = tmp_path / "out"
    assert json.loads((out / "training.json").read_text()) == record
    assert record["files"] == {name: str(Digest.of((out / name).read_bytes())) for name in record["files"]}
    assert record["code_digest"] == str(code_digest()) == str(trainer.code_digest())
    assert record["params"]["n_estimators"] == 30
    assert record["onnx_parity"] <= 1e-5
    assert record["feature_order"] == [n for n in breast_cancer.table().column_names if n not in {KEY, LABEL}]
    reference = pq.read_table(out / "reference.parquet")
    assert reference.num_rows == 100
    assert reference.column_names == record["feature_order"]
    assert {str(field.type) for field in reference.schema} == {"float"}


def test_the_reference_holds_no_held_out_row(tmp_path: Path) -> None:
    training.train(breast_cancer.spec(tmp_path, reference_rows=10_000))
    held = set(pq.read_table(tmp_path / "out" / "holdout.parquet").column("worst_area").to_pylist())
    reference = pq.read_table(tmp_path / "out" / "reference.parquet")
    rows = breast_cancer.table()
    trained = set(rows.column("worst_area").to_pylist()) - held
    assert reference.num_rows == 569 - pq.read_table(tmp_path / "out" / "holdout.parquet").num_rows
    assert {np.float32(v) for v in trained} <= set(reference.column("worst_area").to_pylist())


def _with(column: str, values: Any) -> pa.Table:
    table = breast_cancer.table()
    return table.set_column(table.column_names.index(column), column, values)


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        (lambda: breast_cancer.table().drop_columns([LABEL]), {}, f"lack the column {LABEL}"),
        (lambda: _with("mean_area", pa.nulls(569, pa.float64())), {}, "no empty values"),
        (lambda: _with("mean_area", pa.array(["wide"] * 569)), {}, "not a number"),
        (lambda: _with("mean_area", pa.array([1e300] * 569)), {}, "not finite in 32 bits"),
        (lambda: _with(LABEL, pa.array([1] * 569)), {}, "both 0 and 1"),
        (lambda: breast_cancer.table().slice(0, 3), {}, "class|both 0 and 1"),
        (breast_cancer.table, {"feature_order": ("mean_area", LABEL)}, "must not be a feature"),
        (breast_cancer.table, {"params": {"leaves": 3}}, "does not know a parameter"),
        (breast_cancer.table, {"params": {"learning_rate": -1.0}}, "refuses its parameters"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_features_are_refused_and_nothing_is_written(
    tmp_path: Path, rows: Callable[[], pa.Table], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(Malformed, match=words):
        training.train(breast_cancer.spec(tmp_path, rows(), **changes))
    assert not (tmp_path / "out").exists()


def test_code_other_than_the_approved_does_not_train(tmp_path: Path) -> None:
    with pytest.raises(OutsideAuthorisation, match="was approved"):
        training.train(breast_cancer.spec(tmp_path, code_digest=f"sha256:{'0' * 64}"))
    assert not (tmp_path / "out").exists()
    assert training.train(breast_cancer.spec(tmp_path, code_digest=str(code_digest())))["recipe"]


def test_every_visit_of_a_patient_falls_on_one_side(tmp_path: Path) -> None:
    rows = pa.concat_tables([breast_cancer.table(), breast_cancer.table()])
    spec = breast_cancer.spec(tmp_path, rows)
    training.train(spec)
    counts = pc.value_counts(pq.read_table(tmp_path / "out" / "holdout.parquet").column(KEY)).to_pylist()
    assert {row["counts"] for row in counts} == {2}


def test_the_job_answers_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.json"
    path.write_text(breast_cancer.spec(tmp_path, label="mood").to_json())
    assert trainer.main([str(path), "--on", "process"]) == 2
    assert "lack the column mood" in capsys.readouterr().err
    path.write_text(breast_cancer.spec(tmp_path).to_json())
    assert trainer.main([str(path), "--on", "process"]) == 0
    assert "Trained sklearn-gradient-boosting" in capsys.readouterr().out


def test_vendor_errors_do_not_leak(tmp_path: Path) -> None:
    (tmp_path / "features.parquet").write_bytes(b"not parquet")
    spec = breast_cancer.spec(tmp_path)
    (tmp_path / "features.parquet").write_bytes(b"not parquet")
    with pytest.raises(KhatimError, match="cannot be read"):
        training.train(spec)
