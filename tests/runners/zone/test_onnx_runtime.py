# SPDX-License-Identifier: Apache-2.0
"""The door to ONNX Runtime: approved providers or nothing, and no vendor error."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from khatim.errors import Malformed, Misconfigured, Unavailable
from runners.zone import onnx_runtime
from runners.zone.onnx_runtime import CPU


def _model(operator: str = "Add") -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    node = helper.make_node(operator, ["x", "x"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def test_a_model_says_what_it_takes_and_gives() -> None:
    session = onnx_runtime.load(_model(), (CPU,))
    assert session.inputs == (onnx_runtime.Tensor("x", "float32", (-1, 2)),)
    assert session.outputs == (onnx_runtime.Tensor("y", "float32", (-1, 2)),)
    assert session.providers == (CPU,)
    assert session.predict(np.ones((3, 2), np.float32))["y"].tolist() == [[2.0, 2.0]] * 3


def test_a_device_that_is_not_here_is_refused_and_not_replaced_by_the_cpu() -> None:
    with pytest.raises(Unavailable, match="CUDAExecutionProvider is not here"):
        onnx_runtime.load(_model(), ("CUDAExecutionProvider",))


def test_unknown_or_no_providers_are_a_mistake_of_the_settings() -> None:
    with pytest.raises(Misconfigured, match="Unknown execution provider: MagicExecutionProvider"):
        onnx_runtime.load(_model(), ("MagicExecutionProvider",))
    with pytest.raises(Misconfigured, match="No execution provider"):
        onnx_runtime.load(_model(), ())


@pytest.mark.parametrize("bytes_", [b"", b"not a model", _model()[:40], _model("Fly")])
def test_bytes_that_are_no_model_are_refused(bytes_: bytes) -> None:
    with pytest.raises(Malformed):
        onnx_runtime.load(bytes_, (CPU,))


def test_a_model_that_gives_maps_cannot_be_served() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    model = to_onnx(LogisticRegression().fit(x, x[:, 0] > 0), x[:1])
    with pytest.raises(Malformed, match="cannot be served"):
        onnx_runtime.load(model.SerializeToString(), (CPU,))


def test_inputs_that_do_not_fit_are_refused() -> None:
    session = onnx_runtime.load(_model(), (CPU,))
    for rows in (np.ones((1, 3), np.float32), np.ones((1, 2), np.float64)):
        with pytest.raises(Malformed, match="do not fit"):
            session.predict(rows)


def test_the_feature_order_travels_in_the_model() -> None:
    model = onnx.load_from_string(_model())
    assert onnx_runtime.load(_model(), (CPU,)).feature_order() == ()
    helper.set_model_props(model, {"khatim.features": '["a", "b"]'})
    assert onnx_runtime.load(bytes(model.SerializeToString()), (CPU,)).feature_order() == ("a", "b")
