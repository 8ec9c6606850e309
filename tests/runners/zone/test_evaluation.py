# SPDX-License-Identifier: Apache-2.0
"""An evaluation of the real model on the real held-out rows, and its in-toto test result."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from khatim.errors import Malformed
from khatim.vocabulary import Digest
from runners.zone import training
from runners.zone.evaluation import Evaluation, Subgroup, Threshold, evaluate
from runners.zone.metrics import Metric
from tests.runners.zone import breast_cancer
from tests.runners.zone.breast_cancer import LABEL

GROUPS = {
    "smooth": {"column": "mean_texture", "quantile": [0.0, 0.5]},
    "rough": {"column": "mean_texture", "quantile": [0.5, 1.0]},
}
THRESHOLDS: dict[str, dict[str, Any]] = {
    "accuracy": {"min": 0.9},
    "brier": {"max": 0.1},
    "gap.accuracy": {"max": 0.2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    training.train(breast_cancer.spec(folder))
    return folder / "out"


def _evaluate(trained: Path, rows: pa.Table | None = None, **changes: Any) -> Evaluation:
    rows = pq.read_table(trained / "holdout.parquet") if rows is None else rows
    asked: dict[str, Any] = {"subgroups": GROUPS, "thresholds": THRESHOLDS, "seed": 1, "resamples": 50}
    return evaluate(trained / "model.onnx", rows, LABEL, **{**asked, **changes})


def test_the_model_passes_and_says_how_sure_that_is(trained: Path) -> None:
    found = _evaluate(trained)
    assert found.result == "PASSED"
    assert found.passed == ("accuracy >= 0.9", "brier <= 0.1", "gap.accuracy <= 0.2")
    assert found.rows == pq.read_table(trained / "holdout.parquet").num_rows
    assert sum(found.subgroup_rows.values()) == found.rows
    assert found.model == Digest.of((trained / "model.onnx").read_bytes())
    accuracy = found.metrics["accuracy"]
    assert accuracy.method == "wilson"
    assert accuracy.low is not None
    assert accuracy.value is not None
    assert accuracy.low < accuracy.value
    known = [group["accuracy"].value for group in found.subgroups.values()]
    assert found.gaps["accuracy"].value == pytest.approx(abs((known[0] or 0) - (known[1] or 0)), abs=1e-6)


def test_the_predicate_is_the_test_result_of_in_toto(trained: Path) -> None:
    predicate = _evaluate(trained).as_predicate()
    assert json.loads(json.dumps(predicate, allow_nan=False)) == predicate
    assert predicate["result"] in {"PASSED", "WARNED", "FAILED"}
    assert {"passedTests", "warnedTests", "failedTests", "configuration"} <= set(predicate)
    descriptor = predicate["configuration"][0]
    content = base64.b64decode(descriptor["content"])
    assert descriptor["digest"] == {"sha256": Digest.of(content).hex}
    assert json.loads(content)["thresholds"] == THRESHOLDS


def test_the_same_seed_gives_the_same_evaluation(trained: Path) -> None:
    assert _evaluate(trained) == _evaluate(trained)
    assert _evaluate(trained, seed=2) != _evaluate(trained)


def test_a_missed_threshold_fails_and_a_near_one_warns(trained: Path) -> None:
    failed = _evaluate(trained, thresholds={"accuracy": {"min": 0.999}, "brier": {"max": 0.1}})
    assert (failed.result, failed.failed, failed.passed) == ("FAILED", ("accuracy >= 0.999",), ("brier <= 0.1",))
    near = _evaluate(trained, thresholds={"accuracy": {"min": 0.9, "warn": 0.999}})
    assert (near.result, near.warned) == ("WARNED", ("accuracy >= 0.9",))
    unsure = _evaluate(trained, thresholds={"accuracy": {"min": 0.96, "interval": True}})
    assert unsure.result == "WARNED"


def test_an_evaluation_without_thresholds_has_not_passed(trained: Path) -> None:
    assert _evaluate(trained, thresholds={}).result == "FAILED"


def test_a_gap_with_an_unknown_subgroup_fails(trained: Path) -> None:
    tiny = {**GROUPS, "none": {"column": "mean_area", "min": 1e9}}
    found = _evaluate(trained, subgroups=tiny, thresholds={"gap.sensitivity": {"max": 1.0}})
    assert found.result == "FAILED"
    assert "none" in found.gaps["sensitivity"].note


def test_subgroups_are_by_quantile_bound_or_value() -> None:
    rows = pa.table({"age": [1.0, 2.0, 3.0, 4.0, None], "sex": ["f", "m", "f", None, "m"]})

    def chosen(**spec: Any) -> list[int]:
        return [i for i, belongs in enumerate(Subgroup.parse("g", spec).rows_of(rows)) if belongs]

    assert chosen(column="age", quantile=[0, 0.5]) == [0, 1]
    assert chosen(column="age", quantile=[0.5, 1]) == [2, 3]
    assert chosen(column="age", min=2) == [1, 2, 3]
    assert chosen(column="age", max=2) == [0]
    assert chosen(column="sex", equals="f") == [0, 2]


@pytest.mark.parametrize(
    "spec", [{}, {"column": "age"}, {"column": "age", "above": 3}, {"column": "age", "quantile": [0.5, 0.2]}]
)
def test_a_subgroup_that_is_not_understood_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Subgroup.parse("g", spec)


@pytest.mark.parametrize(
    ("name", "spec"),
    [("luck", {"min": 1}), ("accuracy", {}), ("accuracy", {"min": 0, "max": 1}), ("accuracy", {"min": 0, "or": 1})],
)
def test_a_threshold_that_is_not_understood_is_refused(name: str, spec: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Threshold.parse(name, spec)


def test_a_metric_that_is_not_known_fails_closed() -> None:
    assert Threshold.parse("roc_auc", {"min": 0.0}).judge(Metric(None)) == "FAILED"
    assert Threshold.parse("roc_auc", {"max": math.inf}).judge(Metric(None)) == "FAILED"


def test_rows_that_do_not_fit_the_model_are_refused(trained: Path) -> None:
    rows = pq.read_table(trained / "holdout.parquet")
    with pytest.raises(Malformed, match="missing: mean_area"):
        _evaluate(trained, rows.drop_columns(["mean_area"]))
    with pytest.raises(Malformed, match="lack the subgroup column height"):
        _evaluate(trained, subgroups={"tall": {"column": "height", "min": 2}})
