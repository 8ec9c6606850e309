# SPDX-License-Identifier: Apache-2.0
"""Formats: real files of real libraries, and files that pretend."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from khatim.vocabulary import FileRole
from policies.facts import Verdict
from policies.formats import Format, Formats
from policies.loading import PolicyBundle, load_formats


def onnx_model() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return bytes(helper.make_model(graph, producer_name="khatim").SerializeToString())


def onnx_without_producer() -> bytes:
    model = onnx.ModelProto()
    model.ParseFromString(onnx_model())
    model.producer_name = ""
    return bytes(model.SerializeToString())


def safetensors(header_bytes: int = 0) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header = header.ljust(max(header_bytes, len(header)))
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


def zipped(*members: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member in members:
            archive.writestr(member, b"{}")
    return stream.getvalue()


def joblibbed(compress: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump({"a": np.arange(3)}, stream, compress=compress)
    return stream.getvalue()


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}), stream)
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    return stream.getvalue()


UBJ = b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{"
OCI = json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 7})

SERVED: list[tuple[str, Callable[[], bytes], str]] = [
    ("model.onnx", onnx_model, "onnx"),
    ("dir.d/MODEL.ONNX", onnx_without_producer, "onnx"),
    ("model.safetensors", safetensors, "safetensors"),
    # 0x0280 bytes of header: the file begins like a pickle of protocol 2, and is none.
    ("padded.safetensors", lambda: safetensors(0x0280), "safetensors"),
    ("model.json", lambda: b'{"learner":{"attributes":{}}}', "xgboost-json"),
    ("model.ubj", lambda: UBJ, "xgboost-ubj"),
    ("model.txt", lambda: b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
    ("model.skops", lambda: zipped("1234.npy", "schema.json"), "skops"),
    ("model.pt2", lambda: zipped("model/archive_format", "model/models/model.json"), "pt2"),
    ("model.gguf", lambda: b"GGUF\x03\x00\x00\x00" + bytes(16), "gguf"),
    ("image.oci.json", OCI.encode, "oci-image"),
]
COMPANIONS = [
    ("config.json", b'{"layers": 2}', "json", FileRole.CONFIG),
    ("tokenizer.json", b'{"version": "1.0"}', "json", FileRole.TOKENIZER),
    ("params.yaml", "name: خاتم\n".encode(), "yaml", FileRole.CONFIG),
    ("prompt.txt", b"Answer briefly.", "text", FileRole.PROMPT),
    ("vocab.txt", b"cat\ndog\nemu\n", "text", FileRole.TOKENIZER),
    ("empty.txt", b"", "text", FileRole.CONFIG),
    ("train.py", b"import sklearn\n", "python", FileRole.CODE),
]


@pytest.mark.parametrize(("path", "make", "name"), SERVED, ids=[f"{path}-{name}" for path, _, name in SERVED])
def test_a_model_of_a_safe_format_may_be_served(
    bundle: PolicyBundle, path: str, make: Callable[[], bytes], name: str
) -> None:
    verdict = bundle.formats.classify(path, make(), FileRole.WEIGHTS)

    assert (verdict.format, verdict.verdict) == (name, Verdict.SERVABLE), verdict
    assert verdict.runner
    assert verdict.scanner
    assert verdict.rule == f"formats/{name}"


@pytest.mark.parametrize(("path", "head", "name", "role"), COMPANIONS)
def test_a_companion_may_go_along_and_nothing_loads_it(
    bundle: PolicyBundle, path: str, head: bytes, name: str, role: FileRole
) -> None:
    verdict = bundle.formats.classify(path, head, role)

    assert (verdict.format, verdict.is_servable, verdict.runner) == (name, True, "")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [{"a": 1}, [1, 2], (1, "two"), np.float64(1.5)], ids=["dict", "list", "tuple", "numpy"]
)
def test_a_pickle_is_kept_as_a_record_and_never_served(bundle: PolicyBundle, protocol: int, value: object) -> None:
    verdict = bundle.formats.classify("model.pkl", pickle.dumps(value, protocol=protocol), FileRole.WEIGHTS)

    assert verdict.verdict is Verdict.RECORD_ONLY, verdict
    assert "skops" in verdict.advice
    assert "ONNX" in verdict.advice


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)], ids=str)
def test_joblib_is_a_pickle_however_it_is_compressed(bundle: PolicyBundle, compress: Any) -> None:
    assert bundle.formats.classify("model.joblib", joblibbed(compress)).verdict is Verdict.RECORD_ONLY


@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("model.pt", lambda: zipped("archive/data.pkl", "archive/version")),
        ("pytorch_model.bin", lambda: pickle.dumps({})),
        ("model.npy", array),
        ("model.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(8)),
        ("model.keras", lambda: zipped("metadata.json", "config.json")),
    ],
    ids=["torch", "torch-old", "numpy", "h5", "keras"],
)
def test_formats_that_can_run_code_are_kept_as_records_with_advice(
    bundle: PolicyBundle, path: str, make: Callable[[], bytes]
) -> None:
    verdict = bundle.formats.classify(path, make())

    assert verdict.verdict is Verdict.RECORD_ONLY
    assert verdict.advice


class Evil:
    """What an attacker pickles."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("owned",))


PICKLES = [pickle.dumps(Evil(), protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


@pytest.mark.parametrize(
    "path", [path for path, _, _ in SERVED] + [path for path, _, _, _ in COMPANIONS if path != "empty.txt"]
)
@pytest.mark.parametrize("protocol", range(len(PICKLES)))
def test_a_pickle_in_disguise_is_refused(bundle: PolicyBundle, path: str, protocol: int) -> None:
    verdict = bundle.formats.classify(path, PICKLES[protocol])

    assert verdict.verdict is Verdict.REFUSED, verdict
    assert verdict.rule == "formats/mismatch"
    assert verdict.advice


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("model.onnx", b"PK\x03\x04" + bytes(40)),
        ("model.onnx", b""),
        ("model.onnx", b"\x7fELF" + bytes(12)),
        ("model.safetensors", b"{}"),
        ("model.json", b"\x00\x01"),
        ("model.json", b""),
        ("config.yaml", b"\x7fELF" + bytes(12)),
        ("config.txt", b"#!/bin/sh\nrm -rf /\n"),
        ("config.txt", "naïve".encode("latin-1")),
        ("model.skops", zipped("archive/data.pkl")),
        ("model.skops", zipped("data.pkl")),
        ("model.pt2", zipped("model/data.pkl")),
        ("model.gguf", b"GGML" + bytes(8)),
        ("model.pkl", b"\x7fELF"),
        ("model.parquet", b"PK\x03\x04"),
        ("image.oci.json", b'{"mediaType": "text/plain"}'),
    ],
)
def test_bytes_that_contradict_the_ending_are_refused(bundle: PolicyBundle, path: str, head: bytes) -> None:
    verdict = bundle.formats.classify(path, head)

    assert verdict.verdict is Verdict.REFUSED, verdict
    assert path in verdict.reason


@pytest.mark.parametrize(
    "path", ["model", "model.", "model.xyz", ".onnx/model", "onnx", "model.onnx/", "model.onnx ", "model.onnx\x00"]
)
def test_an_ending_that_nobody_wrote_down_is_refused(bundle: PolicyBundle, path: str) -> None:
    for verdict in (bundle.formats.classify(path, onnx_model()), bundle.formats.by_name(path)):
        assert verdict.verdict is Verdict.REFUSED
        assert verdict.rule == "formats/unknown"


@pytest.mark.parametrize("path", ["run.sh", "lib.so", "weights.tar.gz", "all.zip"])
def test_programs_and_archives_are_refused(bundle: PolicyBundle, path: str) -> None:
    assert bundle.formats.classify(path, b"anything").verdict is Verdict.REFUSED


def test_code_is_no_model_and_a_model_is_no_configuration(bundle: PolicyBundle) -> None:
    for path, head, role in (
        ("train.py", b"import os\n", FileRole.WEIGHTS),
        ("model.onnx", onnx_model(), FileRole.CODE),
        ("model.json", b'{"learner": {}}', FileRole.TOKENIZER),
    ):
        verdict = bundle.formats.classify(path, head, role)
        if path == "model.json":
            assert verdict.format == "json"
            assert verdict.runner == ""
        else:
            assert verdict.verdict is Verdict.REFUSED
            assert role.value in verdict.reason


def test_by_name_alone_a_json_file_is_a_model_only_when_called_one(bundle: PolicyBundle) -> None:
    assert bundle.formats.by_name("model.json").runner == ""
    assert bundle.formats.by_name("model.json", FileRole.CONFIG).runner == ""
    assert bundle.formats.by_name("model.json", FileRole.WEIGHTS).runner == "xgboost"
    assert bundle.formats.by_name("model.onnx").runner == "onnxruntime"
    assert bundle.formats.by_name("model.pkl").verdict is Verdict.RECORD_ONLY
    assert bundle.formats.by_name("train.py", FileRole.WEIGHTS).verdict is Verdict.REFUSED


def test_a_parquet_file_may_go_along(bundle: PolicyBundle) -> None:
    assert bundle.formats.classify("reference.parquet", parquet(), FileRole.CONFIG).is_servable


@given(st.sampled_from([path for path, _, _ in SERVED] + ["a.pkl", "b.txt", "c.py", "d"]), st.binary(max_size=300))
def test_any_bytes_are_answered(bundle: PolicyBundle, path: str, head: bytes) -> None:
    verdict = bundle.formats.classify(path, head)

    assert verdict.reason
    assert verdict.is_servable <= bool(verdict.scanner)


def test_an_agent_reads_formats_without_the_rest(bundle: PolicyBundle) -> None:
    assert load_formats() == bundle.formats


def test_every_format_that_is_not_servable_says_what_to_do(bundle: PolicyBundle) -> None:
    formats: Formats = bundle.formats
    for name, one in formats.formats.items():
        assert one.verdict is Verdict.SERVABLE or one.advice, name


def test_a_format_known_by_its_name_alone_is_never_servable() -> None:
    with pytest.raises(ValueError, match="magic"):
        Format(title="x", endings=(".x",), verdict=Verdict.SERVABLE, scanner="x")
    with pytest.raises(ValueError, match="endings"):
        Format(title="x", endings=("x",), verdict=Verdict.REFUSED, scanner="x")
    with pytest.raises(ValueError, match="regular expression"):
        Format(title="x", endings=(".x",), verdict=Verdict.REFUSED, scanner="x", magic=("(",))
