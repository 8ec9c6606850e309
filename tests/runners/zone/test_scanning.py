# SPDX-License-Identifier: Apache-2.0
"""Scanning model files: real files pass, crafted ones fail with a name and a place, and nothing is ever loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from khatim.errors import VerificationFailed
from khatim.vocabulary import FileRole
from policies.loading import load_formats
from runners.zone.scan_process import look
from runners.zone.scanners.allowed import is_allowed
from runners.zone.scanners.findings import Limits
from runners.zone.scanning import ScanReport, scan, scan_in_sandbox

FORMATS = load_formats()
RAN: list[str] = []


def run_me() -> None:
    RAN.append("ran")


class Evil:
    """Would run a command if anybody loaded it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/khatim-was-here",))


def opener(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def scanned(path: str, data: bytes, role: FileRole | None = None, **limits: int) -> ScanReport:
    report = scan(path, opener(data), FORMATS, role=role, limits=Limits(**limits))
    json.dumps(report.as_json())
    return report


def codes(report: ScanReport) -> set[str]:
    return {one.code for one in report.findings}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content, how)
    return out.getvalue()


@pytest.fixture(scope="module")
def classifier() -> Any:
    x, y = load_breast_cancer(return_X_y=True)
    return GradientBoostingClassifier(n_estimators=10, random_state=0).fit(x, y)


@pytest.fixture(scope="module")
def model(classifier: Any) -> bytes:
    return cast("bytes", to_onnx(classifier, np.zeros((1, 30), np.float32)).SerializeToString())


def graph(*nodes: Any, initializers: tuple[Any, ...] = (), domain: str = "") -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    body = helper.make_graph(list(nodes), "g", value[:1], value[1:], list(initializers))
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made = helper.make_model(body, opset_imports=opsets, ir_version=10)
    return cast("bytes", made.SerializeToString())


# -- ONNX ---------------------------------------------------------------------------------------------------------


def test_a_real_onnx_model_passes_here_and_in_the_sandbox_with_the_same_report(model: bytes) -> None:
    report = scanned("model.onnx", model, FileRole.WEIGHTS)
    assert (report.verdict, report.use, report.format, report.findings) == ("passed", "servable", "onnx", ())
    assert report.is_servable
    assert report.details["operators"]["ai.onnx.ml:TreeEnsembleClassifier"] == 1
    assert report.details["inputs"] == [{"name": "X", "type": "FLOAT", "shape": ["", 30]}]
    assert scan_in_sandbox("model.onnx", opener(model), FORMATS, role=FileRole.WEIGHTS) == report


def test_operators_of_other_domains_are_refused_also_in_the_body_of_a_loop() -> None:
    node = helper.make_node("Pwn", ["x"], ["y"], domain="evil")
    assert codes(scanned("m.onnx", graph(node, domain="evil"))) == {"onnx-domain"}
    inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    outer = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    report = scanned("m.onnx", graph(outer, domain="evil"))
    assert (report.verdict, codes(report)) == ("failed", {"onnx-domain"})


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "", "C:\\x", "a/b"])
def test_external_data_outside_the_version_is_refused(place: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=place)
    data = graph(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,))
    assert codes(scanned("m.onnx", data)) == {"onnx-external"}
    assert scanned("m.onnx", data).verdict == "failed"


def test_external_data_beside_the_model_is_noted() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="model.onnx.data")
    report = scanned("m.onnx", graph(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,)))
    assert (report.verdict, report.details["external"]) == ("passed", ["model.onnx.data"])


def test_an_invalid_graph_is_refused() -> None:
    assert codes(scanned("m.onnx", graph(helper.make_node("Add", ["x", "nowhere"], ["y"])))) == {"onnx-invalid"}
    assert codes(scanned("m.onnx", graph(helper.make_node("NoSuchOp", ["x"], ["y"])))) == {"onnx-invalid"}


def test_a_cut_or_padded_model_is_refused(model: bytes) -> None:
    assert scanned("m.onnx", model[: len(model) // 2]).verdict == "failed"
    assert scanned("m.onnx", model + b"\xfa\x7f\x04evil").verdict == "failed"
    assert codes(scanned("m.onnx", model, file_bytes=1000)) == {"unreadable"}


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**9), byte=st.integers(0, 255))
def test_a_changed_model_never_breaks_the_scanner(model: bytes, place: int, byte: int) -> None:
    spoiled = bytearray(model)
    spoiled[place % len(model)] = byte
    report = scanned("m.onnx", bytes(spoiled))
    assert report.verdict in {"passed", "failed"}


# -- pickles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, 6))
def test_an_honest_pickle_is_recorded_with_its_names_and_advice(classifier: Any, protocol: int) -> None:
    report = scanned("model.pkl", pickle.dumps(classifier, protocol))
    assert (report.verdict, report.use) == ("passed", "record-only"), report.findings
    assert not report.is_servable
    assert "skl2onnx" in report.advice
    assert "sklearn.ensemble._gb.GradientBoostingClassifier" in report.details["globals"]


def test_other_honest_estimators_are_recorded_too() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    for estimator in (RandomForestClassifier(n_estimators=2), make_pipeline(StandardScaler(), LogisticRegression())):
        data = pickle.dumps(estimator.fit(x, y))
        assert scanned("model.pkl", data).verdict == "passed", scanned("model.pkl", data).findings


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_is_recorded_whatever_its_compression(classifier: Any, compress: Any) -> None:
    out = io.BytesIO()
    joblib.dump(classifier, out, compress=compress)
    report = scanned("model.joblib", out.getvalue())
    assert (report.verdict, report.use) == ("passed", "record-only"), report.findings


@pytest.mark.parametrize("protocol", range(6))
def test_a_dangerous_pickle_is_named_and_not_run(protocol: int) -> None:
    report = scanned("model.pkl", pickle.dumps({"weights": Evil()}, protocol))
    assert report.verdict == "failed"
    if protocol:
        assert any("posix.system" in one.message for one in report.findings)
    assert not Path("/tmp/khatim-was-here").exists()  # noqa: S108
    scanned("model.pkl", pickle.dumps(run_me))
    assert RAN == []


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x01x0\x8c\x06system\x93.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93.",
        b"\x80\x04\x8c\x05posix\x940\x8c\x06system\x940\x8c\x0bcollectionsh\x00h\x01\x93.",
        b"\x80\x04(\x8c\x05posix\x8c\x06systeml\x93.",
        b"\x80\x02cbuiltins\neval\n.",
        b"\x80\x02csklearn.base\nBaseEstimator.__init__.__globals__\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x8c\x07sklearn\x8c\x0fBase\nos system0\x93.",
        b"\x80\x04K\x01." + b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
    ],
)
def test_hidden_names_are_dangers(code: bytes) -> None:
    assert scanned("model.pkl", code).verdict == "failed"


def test_a_listing_that_cannot_reach_the_end_fails() -> None:
    data = pickle.dumps([1, 2, 3])
    assert codes(scanned("model.pkl", data + b"\xff\xff")) >= {"listing-ends"}
    assert scanned("model.pkl", data[:-2]).verdict == "failed"


def test_the_strings_on_the_stack_are_those_that_python_sees() -> None:
    """Real pickles of every protocol: the names found are those of pickletools' own listing."""
    data = pickle.dumps([np.zeros(3), {"a": StandardScaler()}], 4)
    strings = [argument for opcode, argument, _ in pickletools.genops(data) if opcode.name.endswith("UNICODE")]
    found = scanned("model.pkl", data).details["globals"]
    assert found
    assert all(part in strings for name in found for part in name.rsplit(".", 1))


@pytest.mark.parametrize(
    ("module", "name", "may"),
    [
        ("sklearn.ensemble._gb", "GradientBoostingClassifier", True),
        ("numpy", "float64", True),
        ("numpy", "ndarray", True),
        ("numpy", "load", False),
        ("numpy.f2py.diagnose", "run_command", False),
        ("sklearn.utils", "check_array", False),
        ("sklearn_evil", "Model", False),
        ("builtins", "getattr", False),
        ("torch", "FloatStorage", True),
        ("torch", "load", False),
        ("__main__", "Model", False),
    ],
)
def test_names_are_allowed_by_list(module: str, name: str, *, may: bool) -> None:
    assert is_allowed(module, name) is may


def test_a_pytorch_checkpoint_is_listed_inside_its_zip() -> None:
    code = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00ctorch\nFloatStorage\nq\x01ccollections\nOrderedDict\nq\x02."
    )
    honest = zipped(("m/data.pkl", code), ("m/data/0", b"\x80\x3f\x00\x00" * 4), ("m/version", b"3\n"), how=0)
    report = scanned("m.pt", honest)
    assert report.use == "record-only"
    assert "torch._utils._rebuild_tensor_v2" in report.details["globals"]
    assert scanned("m.pt", zipped(("m/data.pkl", pickle.dumps(Evil())))).verdict == "failed"
    assert scanned("m.pt", zipped(("m/data.pkl", code), ("m/code/x.py", b"1"))).verdict == "failed"


def test_an_array_of_objects_is_a_pickle_in_disguise() -> None:
    plain, objects = io.BytesIO(), io.BytesIO()
    np.save(plain, np.zeros((3, 4)))
    np.save(objects, np.array([Evil()], dtype=object), allow_pickle=True)
    assert scanned("a.npy", plain.getvalue()).verdict == "passed"
    assert {"array-of-objects", "pickle-global"} <= codes(scanned("a.npy", objects.getvalue()))
    assert {"array-of-objects"} <= codes(scanned("a.npz", zipped(("a.npy", objects.getvalue()))))


# -- archives -----------------------------------------------------------------------------------------------------


def test_zip_slip_links_doubles_and_bombs_are_refused() -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for members in (
        [("../../evil", b"x")],
        [("/etc/passwd", b"x")],
        [("a\\b", b"x")],
        [("C:evil", b"x")],
        [(link, b"/etc/passwd")],
        [("data.pkl", b"N."), ("DATA.pkl", b"N.")],
        [("zeros", bytes(50 << 20))],
    ):
        report = scanned("m.pt", zipped(*members))
        assert codes(report) >= {"archive-member"}, members[0][0]
        assert report.verdict == "failed"


def test_too_many_members_too_much_content_and_broken_zips_are_refused() -> None:
    many = zipped(*((f"m/data/{number}", b"x") for number in range(50)))
    assert codes(scanned("m.pt", many, members=49)) >= {"unreadable"}
    assert codes(scanned("m.pt", many, expanded_bytes=40)) >= {"unreadable"}
    assert scanned("m.pt", many[: len(many) // 2]).verdict == "failed"
    assert scanned("m.joblib", b"\x1f\x8b" + b"x" * 100).verdict == "failed"


def skops(**names: str) -> bytes:
    node = {"__class__": "GradientBoostingClassifier", "__module__": "sklearn.ensemble._gb", "__loader__": "ObjectNode"}
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    return zipped(("schema.json", json.dumps(node | {"content": names}).encode()), ("139.npy", array.getvalue()))


def test_a_skops_file_may_name_only_what_is_at_home_in_a_model() -> None:
    assert scanned("m.skops", skops()).verdict == "passed"
    assert codes(scanned("m.skops", skops(__class__="system", __module__="posix"))) == {"skops-type"}
    assert codes(scanned("m.skops", skops(function="system", module_path="os"))) == {"skops-type"}
    assert codes(scanned("m.skops", zipped(("a.py", b"")))) == {"archive-member", "unreadable"}


def test_an_exported_program_holds_no_code() -> None:
    good = [("m/archive_format", b"pt2"), ("m/models/model.json", b"{}"), ("m/data/weights/weight_0", bytes(16))]
    assert scanned("m.pt2", zipped(*good)).verdict == "passed"
    assert scanned("m.pt2", zipped(*good, ("m/data/aotinductor/model/k.so", b"\x7fELF"))).verdict == "failed"
    assert scanned("m.pt2", zipped(*good, ("m/data/weights/weight_1", b"\x7fELF"))).verdict == "failed"
    evil = zipped(("x/data.pkl", pickle.dumps(Evil())))
    assert "pickle-global" in codes(scanned("m.pt2", zipped(*good, ("m/data/sample_inputs/model.pt", evil))))


# -- tensors ------------------------------------------------------------------------------------------------------


def safetensors(header: Any, body: bytes = bytes(24)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(start: int, stop: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def test_safetensors_cover_the_file_each_byte_once() -> None:
    good = {"a": tensor(0, 16, 2, 2), "b": tensor(16, 24, 4, dtype="BF16"), "__metadata__": {"format": "pt"}}
    report = scanned("m.safetensors", safetensors(good))
    assert (report.verdict, report.details) == ("passed", {"tensors": 2, "bytes": 24, "metadata": ["format"]})


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"a": tensor(0, 16, 4), "b": tensor(12, 24, 3)}),
        safetensors({"a": tensor(0, 16, 4)}),
        safetensors({"a": tensor(0, 24, 5)}),
        safetensors({"a": tensor(4, 24, 5)}),
        safetensors({"a": tensor(0, 24, 6, dtype="PICKLE")}),
        safetensors({"a": tensor(0, 24, -6)}),
        safetensors({"a": tensor(0, 24, 6) | {"code": "x"}}),
        safetensors({"a": [1]}),
        safetensors({"a": tensor(0, 24, 6), "__metadata__": {"x": 1}}),
        safetensors(b'{"a": {}, "a": {}}'),
        safetensors(b'{"a": ' + b"[" * 5000),
        struct.pack("<Q", 1 << 30) + b'{"a"',
        b"\x02\0\0\0\0\0\0\0{",
    ],
)
def test_safetensors_that_do_not_add_up_are_refused(data: bytes) -> None:
    assert codes(scanned("m.safetensors", data)) == {"unreadable"}


def gguf(template: str = "{{ messages }}", *, tensors: int = 1, offset: int = 0) -> bytes:
    def text(word: str) -> bytes:
        return struct.pack("<Q", len(word)) + word.encode()

    words = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    words += text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template)
    words += text("tokenizer.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    words += text("tokenizer.scores") + struct.pack("<IIQ", 9, 6, 2) + bytes(8)
    one = text("w") + struct.pack("<IQIQ", 1, 4, 0, offset)
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, 4) + words + one * tensors + bytes(64)


def test_gguf_is_read_to_its_tensors() -> None:
    report = scanned("m.gguf", gguf())
    assert (report.verdict, report.details) == ("passed", {"version": 3, "tensors": 1, "architecture": "llama"})
    escape = gguf("{{ x.__class__.__mro__[1].__subclasses__() }}")
    assert codes(scanned("m.gguf", escape)) == {"template-escape"}
    for data in (gguf(offset=1 << 40), gguf(tensors=10**6 // 5)[:5000], gguf()[:60]):
        assert codes(scanned("m.gguf", data)) == {"unreadable"}


def test_parquet_is_read_whole(tmp_path: Path) -> None:
    assert codes(scanned("a.parquet", b"PAR1" + bytes(50) + b"PAR1", FileRole.CONFIG)) == {"unreadable"}


def test_a_sentencepiece_model_is_its_fields() -> None:
    piece = b"\x0a\x03abc\x15\0\0\0\0"
    data = (b"\x0a" + bytes([len(piece)]) + piece) * 3 + b"\x12\x00"
    assert scanned("t.model", data, FileRole.TOKENIZER).details == {"pieces": 3}
    assert codes(scanned("t.model", data + b"\xff\x01", FileRole.TOKENIZER)) == {"unreadable"}


# -- text ---------------------------------------------------------------------------------------------------------


XGB = {"learner": {"gradient_booster": {"model": {"trees": []}}}, "version": [3, 0, 0]}


def ubj(value: Any) -> bytes:
    match value:
        case dict():
            inner = b"".join(b"L" + struct.pack(">q", len(k)) + k.encode() + ubj(v) for k, v in value.items())
            return b"{" + inner + b"}"
        case list():
            return b"[" + b"".join(map(ubj, value)) + b"]"
        case str():
            return b"SL" + struct.pack(">q", len(value)) + value.encode()
        case _:
            return b"l" + struct.pack(">i", value)


def test_xgboost_in_json_and_ubjson() -> None:
    assert scanned("m.xgb.json", json.dumps(XGB).encode(), FileRole.WEIGHTS).verdict == "passed"
    report = scanned("m.ubj", ubj(XGB), FileRole.WEIGHTS)
    assert (report.verdict, report.details) == ("passed", {"version": [3, 0, 0]})
    typed = ubj(XGB)[:-1] + b"L" + struct.pack(">q", 6) + b"Config[$d#L" + struct.pack(">q", 3) + bytes(12) + b"}"
    assert scanned("m.ubj", typed, FileRole.WEIGHTS).verdict == "passed"
    for bad in (ubj(XGB) + b"x", ubj(XGB)[:-3], ubj(XGB | {"code": "x"}), typed.replace(b"#L", b"#d"), typed[:-9]):
        assert codes(scanned("m.ubj", bad, FileRole.WEIGHTS)) == {"unreadable"}
    assert codes(scanned("m.xgb.json", json.dumps(XGB | {"x": 1}).encode(), FileRole.WEIGHTS)) == {"unreadable"}


def test_lightgbm_runs_from_tree_to_end() -> None:
    text = b"tree\nversion=v4\nnum_class=1\n\nTree=0\nnum_leaves=2\n\nend of trees\n\nparameters:\nend of parameters\n"
    assert scanned("m.lgb", text, FileRole.WEIGHTS).details == {"trees": 1}
    assert codes(scanned("m.lgb", text[:40], FileRole.WEIGHTS)) == {"unreadable"}


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("c.json", '{"host": "db", "password": "hunter2-hunter2"}', "secret"),
        ("c.yaml", "key: |\n  -----BEGIN RSA PRIVATE KEY-----\n", "secret"),
        ("c.toml", 'url = "postgresql://user:secret@host/db"', "secret"),
        ("c.txt", "AKIAIOSFODNN7EXAMPLE", "secret"),
        ("c.yaml", "a: !!python/object/apply:os.system ['x']", "yaml-object"),
        ("t.jinja", "{{ ''.__class__.__mro__ }}", "template-escape"),
        ("train.py", "a = 1 # \u202e x", "bidi"),
        ("c.json", '{"a": 1, "a": 2}', "unreadable"),
        ("c.json", "{nope}", "unreadable"),
        ("c.jsonl", '{"a": 1}\n{', "unreadable"),
    ],
)
def test_what_does_not_belong_into_text_is_named_by_line_and_not_repeated(name: str, text: str, code: str) -> None:
    report = scanned(name, text.encode())
    assert codes(report) == {code}
    assert "hunter2" not in json.dumps(report.as_json())


def test_honest_text_passes() -> None:
    for name, text in (
        ("config.json", '{"learning_rate": 0.1, "password_column": null}'),
        ("prompt.txt", "You are a careful assistant. Never ask for a password: it is secret."),
        ("train.py", "import os\npassword = os.environ['DB_PASSWORD']\n"),
        ("t.jinja", "{% for message in messages %}{{ message['content'] }}{% endfor %}"),
    ):
        assert scanned(name, text.encode()).verdict == "passed", name


def test_an_image_is_named_by_digest() -> None:
    body: dict[str, Any] = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": "sha256:" + "a" * 64},
    }
    assert scanned("serve.oci.json", json.dumps(body).encode()).verdict == "passed"
    body["layers"] = [{"digest": "latest"}]
    assert codes(scanned("serve.oci.json", json.dumps(body).encode())) == {"oci-digest"}


# -- policy and sandbox -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.exe", "model.zip", "model", "model.onnx"])
def test_refused_formats_fail_without_being_looked_into(name: str) -> None:
    report = scan_in_sandbox(name, opener(b"MZ" + bytes(5000)), FORMATS)
    assert (report.verdict, report.use, codes(report)) == ("failed", "refused", {"format-refused"})
    assert report.advice


def test_every_scanner_of_the_policy_exists() -> None:
    for name in {one.scanner for one in FORMATS.formats.values()} - {"none"}:
        codes_ = {one.code for one in look(name, "x", io.BytesIO(b""), Limits()).findings}
        assert "no-scanner" not in codes_, name


def test_a_scan_that_takes_too_long_has_failed(model: bytes) -> None:
    began = time.monotonic()
    report = scan_in_sandbox("m.onnx", opener(model), FORMATS, timeout_s=0.05)
    assert (report.verdict, codes(report)) == ("failed", {"scan-timeout"})
    assert time.monotonic() - began < 5


def test_a_scan_without_memory_has_failed(model: bytes) -> None:
    report = scan_in_sandbox("m.onnx", opener(model), FORMATS, limits=Limits(memory_bytes=100 << 20))
    assert report.verdict == "failed"
    assert codes(report) <= {"scan-crashed", "exhausting", "unreadable"}


def test_a_bomb_is_a_failed_scan_and_no_more() -> None:
    out = io.BytesIO()
    joblib.dump(bytes(200 << 20), out, compress=9)
    report = scan_in_sandbox("m.joblib", opener(out.getvalue()), FORMATS, limits=Limits(expanded_bytes=10 << 20))
    assert (report.verdict, codes(report)) == ("failed", {"unreadable"})


def test_a_spoiled_blob_is_the_stores_error_and_not_the_models(model: bytes) -> None:
    class Spoiled(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            if self.tell() > 4096:
                raise VerificationFailed("the stored bytes were changed")
            return super().read(count)

    with pytest.raises(VerificationFailed):
        scan_in_sandbox("m.onnx", lambda: Spoiled(model), FORMATS)


def test_large_tensors_stream_through_the_sandbox() -> None:
    size = 80 << 20
    data = safetensors({"a": tensor(0, size, size // 4)}, bytes(size))
    report = scan_in_sandbox("m.safetensors", opener(data), FORMATS, limits=Limits(file_bytes=1000))
    assert (report.verdict, report.details["bytes"]) == ("passed", size)
