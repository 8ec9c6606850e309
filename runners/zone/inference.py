# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol v2 as values: request bytes to arrays, arrays to response bytes.  No HTTP here.

Sources: kserve/open-inference-protocol (REST), and Triton's binary tensor data extension, in which a JSON header of
``Inference-Header-Content-Length`` bytes is followed by the raw little-endian tensors in the order of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from khatim.errors import Malformed
from runners.zone.onnx_runtime import Session, Tensor

EXTENSIONS = ("binary_tensor_data",)
DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_KINDS = {"b": "b", "u": "ui", "i": "ui", "f": "uif"}  # wanted kind of dtype -> kinds that JSON values may have


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output the caller wants, and whether as raw bytes."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class Inference:
    """A request that fits the model."""

    id: str
    inputs: dict[str, NDArray[Any]]
    wanted: tuple[Wanted, ...]


def metadata_of(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return tensors as the protocol's metadata."""
    return [{"name": t.name, "datatype": DATATYPES[t.dtype], "shape": list(t.shape)} for t in tensors]


def read(body: bytes, header_length: int | None, session: Session, *, finite_only: bool) -> Inference:
    """Read a request for *session*; raises `khatim.errors.Malformed` with a sentence that names what does not fit."""
    if header_length is not None and not 0 <= header_length <= len(body):
        _refuse(f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes")
    split = len(body) if header_length is None else header_length
    try:
        request = orjson.loads(memoryview(body)[:split])
    except orjson.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error}", error)
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        _refuse("the body must be a JSON object with a list of inputs")
    raw = memoryview(body)[split:]
    arrays, raw = _arrays(request["inputs"], session, raw)
    for name, array in arrays.items():
        if finite_only and array.dtype.kind == "f" and not np.isfinite(array).all():
            _refuse(f"the input {name!r} holds NaN or an infinite value")
    if len(raw):
        _refuse(f"{len(raw)} bytes of binary data belong to no input")
    parameters = request.get("parameters")
    return Inference(str(request.get("id") or ""), arrays, _wanted(request, parameters, session))


def _arrays(inputs: list[Any], session: Session, raw: memoryview) -> tuple[dict[str, NDArray[Any]], memoryview]:
    """Read every input once and none too many; return what is left of the binary data."""
    expected = {tensor.name: tensor for tensor in session.inputs}
    arrays: dict[str, NDArray[Any]] = {}
    for given in inputs:
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            _refuse("every input must be an object with a name")
        name = given["name"]
        if name not in expected:
            _refuse(f"the model has no input {name!r}; it takes {', '.join(map(repr, expected))}")
        if name in arrays:
            _refuse(f"the input {name!r} is given twice")
        arrays[name], raw = _array(given, expected[name], raw)
    missing = [name for name in expected if name not in arrays]
    if missing:
        _refuse(f"the input {', '.join(map(repr, missing))} is missing")
    return arrays, raw


def _array(given: Mapping[str, Any], tensor: Tensor, raw: memoryview) -> tuple[NDArray[Any], memoryview]:
    name, datatype = tensor.name, DATATYPES[tensor.dtype]
    if given.get("datatype") != datatype:
        _refuse(f"the input {name!r} must be {datatype}, not {given.get('datatype')}")
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        _refuse(f"the shape of the input {name!r} must be a list of whole numbers")
    fits = len(shape) == len(tensor.shape) and all(
        want in (-1, got) for want, got in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        _refuse(f"the input {name!r} must have shape {list(tensor.shape)}, not {shape}")
    dtype, count = np.dtype(tensor.dtype), math.prod(shape)
    parameters = given.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if size != count * dtype.itemsize or size > len(raw):
            _refuse(f"the input {name!r} needs {count * dtype.itemsize} bytes of binary data, not {size}")
        return np.frombuffer(raw[:size], dtype.newbyteorder("<")).astype(dtype).reshape(shape), raw[size:]
    try:
        values = np.asarray(given.get("data"))
    except ValueError as error:
        _refuse(f"the data of the input {name!r} is ragged", error)
    if values.size != count:
        _refuse(f"the input {name!r} has {values.size} values, but its shape {shape} needs {count}")
    if count and values.dtype.kind not in _KINDS[dtype.kind]:
        _refuse(f"the data of the input {name!r} must be {datatype} values only")
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if dtype.kind in "ui" and not np.array_equal(cast, values):
        _refuse(f"the input {name!r} holds values that {datatype} cannot")
    return cast.reshape(shape), raw


def _wanted(request: Mapping[str, Any], parameters: Any, session: Session) -> tuple[Wanted, ...]:
    names = [tensor.name for tensor in session.outputs]
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    if not request.get("outputs"):
        return tuple(Wanted(name, binary) for name in names)
    wanted = []
    if not isinstance(request["outputs"], list):
        _refuse("outputs must be a list")
    for output in request["outputs"]:
        if not isinstance(output, dict) or output.get("name") not in names:
            named = output.get("name") if isinstance(output, dict) else output
            _refuse(f"the model has no output {named!r}; it gives {', '.join(map(repr, names))}")
        own = output.get("parameters")
        raw = own.get("binary_data", binary) if isinstance(own, dict) else binary
        wanted.append(Wanted(output["name"], raw is True))
    return tuple(wanted)


def write(name: str, version: str, asked: Inference, found: Mapping[str, NDArray[Any]]) -> tuple[bytes, int | None]:
    """Return the response body, and the length of its JSON header when binary tensors follow it."""
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for wanted in asked.wanted:
        array = found[wanted.name]
        output: dict[str, Any] = {
            "name": wanted.name,
            "datatype": DATATYPES[str(array.dtype)],
            "shape": list(array.shape),
        }
        if wanted.binary:
            raw.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            wide = array.astype(np.float32) if array.dtype == np.float16 else array
            output["data"] = np.ascontiguousarray(wide).ravel()
        outputs.append(output)
    response: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if asked.id:
        response["id"] = asked.id
    header = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *raw]), len(header)) if raw else (header, None)


def _refuse(sentence: str, cause: Exception | None = None) -> NoReturn:
    raise Malformed(f"{sentence[:1].upper()}{sentence[1:]}.") from cause
