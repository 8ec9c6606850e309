# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs, and the only importer of onnx in the zone: parsed and checked, never run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import onnx
from onnx.checker import ValidationError, check_model

from runners.zone.scanners.findings import Found, Limits, Unreadable, whole

# The standard's operators.  Others come from libraries that would have to be loaded into the serving process.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_MOST_NODES = 1_000_000
_FILE_NAME = re.compile(r"[\w-][\w .-]{0,199}\Z")


def scan_onnx(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at an ONNX model: standard operators only, no data from elsewhere, and what onnx's own checker says."""
    data = whole(stream, limits.file_bytes)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, without importing protobuf for it
        raise Unreadable("it is not an ONNX model") from error
    if not model.graph.node or _has_unknown(model):
        raise Unreadable("it has no graph, or fields that ONNX does not know")
    local = {(function.domain, function.name) for function in model.functions}
    operators: Counter[str] = Counter()
    for node in _nodes(model):
        operators[f"{node.domain}:{node.op_type}" if node.domain else node.op_type] += 1
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in local:
            found.danger("onnx-domain", node.name or node.op_type, f"operator of the domain {node.domain[:100]!r}")
        if operators.total() > _MOST_NODES:
            raise Unreadable(f"more than {_MOST_NODES} nodes")
    outside = [_judge_external(tensor, found) for tensor in _tensors(model) if tensor.external_data]
    found.details.update(
        ir_version=model.ir_version,
        opsets={one.domain or "ai.onnx": one.version for one in model.opset_import},
        producer=f"{model.producer_name} {model.producer_version}"[:100].strip(),
        inputs=[_value(one) for one in model.graph.input][:100],
        outputs=[_value(one) for one in model.graph.output][:100],
        operators=dict(operators.most_common(100)),
        external=sorted(set(outside))[:100],
    )
    if not outside and not found.is_dangerous:
        try:
            check_model(data)
        except (ValidationError, ValueError, RuntimeError) as error:
            found.danger("onnx-invalid", path, " ".join(str(error).split())[:300])


def _judge_external(tensor: Any, found: Found) -> str:
    words = {entry.key: entry.value for entry in tensor.external_data}
    place = str(words.get("location", ""))
    if not _FILE_NAME.match(place) or ".." in PurePosixPath(place).parts:
        found.danger("onnx-external", tensor.name, "data from a path outside the version's own files")
    else:
        found.note("onnx-external", tensor.name, f"data from the file {place!r}, which must be part of the version")
    return place[:200]


def _graphs(model: Any) -> Iterator[Any]:
    """Yield everything that has nodes: the graph, local functions, the bodies of If, Loop and Scan, training steps."""
    waiting = [model.graph, *model.functions]
    for step in model.training_info:
        waiting += [step.initialization, step.algorithm]
    while waiting:
        one = waiting.pop()
        yield one
        for node in one.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                    yield from (sparse.values, sparse.indices)


def _has_unknown(model: Any) -> bool:
    """Whether the file holds bytes that no field of ONNX explains: it might mean something else to another reader."""
    size = model.ByteSize()
    model.DiscardUnknownFields()
    return bool(model.ByteSize() != size)


def _value(info: Any) -> dict[str, Any]:
    kind = info.type.tensor_type
    shape = [one.dim_value if one.HasField("dim_value") else one.dim_param for one in kind.shape.dim]
    return {"name": info.name[:200], "type": onnx.TensorProto.DataType.Name(kind.elem_type), "shape": shape}
