# SPDX-License-Identifier: Apache-2.0
"""The door to ONNX Runtime: load a model on the approved execution providers, or refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from khatim.errors import Malformed, Misconfigured, Unavailable

CPU = "CPUExecutionProvider"
VERSION: str = onnxruntime.__version__
_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output: its name, numpy dtype name, and shape with -1 for a free dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Session:
    """A loaded model.  Thread-safe, as ONNX Runtime's own sessions are."""

    def __init__(self, session: Any) -> None:
        """Take a created ONNX Runtime session; raises `khatim.errors.Malformed` when it takes or gives no tensors."""
        self._session = session
        self.inputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_inputs())
        self.outputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_outputs())
        self.providers: tuple[str, ...] = tuple(session.get_providers())

    @property
    def properties(self) -> Mapping[str, str]:
        """Return the model's metadata properties."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def feature_order(self, key: str = "khatim.features") -> tuple[str, ...]:
        """Return the input columns the model was exported with; empty when it does not say."""
        return tuple(json.loads(self.properties.get(key, "[]")))

    def predict(
        self, inputs: Mapping[str, NDArray[Any]] | NDArray[Any], outputs: Sequence[str] = ()
    ) -> dict[str, NDArray[Any]]:
        """Run the model on arrays by input name, or on the one input, and return arrays by output name.

        Raises `khatim.errors.Malformed` for inputs that do not fit and `khatim.errors.Unavailable` when the run fails.
        """
        feed = dict(inputs) if isinstance(inputs, Mapping) else {self.inputs[0].name: inputs}
        names = list(outputs) or [tensor.name for tensor in self.outputs]
        try:
            found = self._session.run(names, feed)
        except (onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, ValueError) as error:
            raise Malformed(f"The inputs do not fit the model: {_sentence(error)}") from error
        except (onnxruntime.capi.onnxruntime_pybind11_state.Fail, RuntimeError) as error:
            raise Unavailable(f"The model could not be run: {_sentence(error)}") from error
        return dict(zip(names, found, strict=True))


def load(model: bytes | Path, providers: Sequence[str], *, threads: int = 1) -> Session:
    """Load *model* on exactly *providers*, in their order.

    ONNX Runtime falls back to the CPU without an error when a device is missing (onnxruntime #23372), so what it chose
    is compared with what was approved: `khatim.errors.Unavailable` when it differs.  Raises
    `khatim.errors.Misconfigured` for an empty list or a provider this build does not have, and
    `khatim.errors.Malformed` for bytes that are no ONNX model.
    """
    approved = tuple(providers)
    if not approved:
        raise Misconfigured("No execution provider is approved for this model.")
    unknown = [name for name in approved if name not in onnxruntime.get_all_providers()]
    if unknown:
        raise Misconfigured(
            f"Unknown execution provider: {', '.join(unknown)}.",
            advice=f"This build has: {', '.join(onnxruntime.get_available_providers())}.",
        )
    missing = [name for name in approved if name not in onnxruntime.get_available_providers()]
    if missing:
        raise Unavailable(
            f"The approved execution provider {', '.join(missing)} is not here.",
            advice="Serve where it is, or have the version approved for another provider.",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if CPU not in approved:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    source = str(model) if isinstance(model, Path) else model
    try:
        made = onnxruntime.InferenceSession(source, options, providers=list(approved))
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
        raise Malformed(f"This is no model that ONNX Runtime can load: {_sentence(error)}") from error
    chosen = tuple(made.get_providers())
    # The CPU provider is always appended as the last resort for single operators; it counts only when approved.
    if chosen not in (approved, (*approved, CPU)):
        raise Unavailable(f"ONNX Runtime chose {', '.join(chosen)}, but approved is {', '.join(approved)}.")
    return Session(made)


def _tensor(node: Any) -> Tensor:
    if node.type not in _DTYPES:
        raise Malformed(
            f"The model's {node.name!r} is {node.type}, which cannot be served.",
            advice="Export tensors only: numbers or booleans, and zipmap off for scikit-learn.",
        )
    shape = tuple(side if isinstance(side, int) else -1 for side in node.shape)
    return Tensor(node.name, str(np.dtype(_DTYPES[node.type])), shape)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
