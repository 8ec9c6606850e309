# SPDX-License-Identifier: Apache-2.0
"""The inference door against a client that is not ours (tritonclient), on the real model, over real HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from starlette.applications import Starlette
from tritonclient.http import InferenceServerClient, InferenceServerException, InferInput, InferRequestedOutput

from khatim.errors import Malformed, NotFound, Suspended
from runners.zone import inference, onnx_runtime, training
from runners.zone.capture import Capture, unpack
from runners.zone.cluster import free_ports
from runners.zone.onnx_runtime import CPU, Session
from runners.zone.serving import Endpoint, Endpoints, EndpointState, build_serving
from tests.runners.zone import breast_cancer
from tests.runners.zone.test_training import _estimator

MODEL = "oncology.malignancy"
INFER = f"/v2/models/{MODEL}/infer"
LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    training.train(breast_cancer.spec(folder))
    return folder


@pytest.fixture(scope="module")
def session(trained: Path) -> Session:
    return onnx_runtime.load(trained / "out" / "model.onnx", (CPU,))


@pytest.fixture(scope="module")
def held_out(trained: Path, session: Session) -> NDArray[np.float64]:
    rows = pq.read_table(trained / "out" / "holdout.parquet")
    return np.column_stack([rows.column(name).to_numpy() for name in session.feature_order()])


@contextlib.contextmanager
def over_http(app: Starlette) -> Iterator[httpx.Client]:
    (port,) = free_ports(1)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def endpoints() -> Endpoints:
    return Endpoints()


@pytest.fixture(autouse=True)
def afresh(endpoints: Endpoints, session: Session) -> None:
    endpoints.put(Endpoint(MODEL, "1", session))


@pytest.fixture(scope="module")
def client(endpoints: Endpoints) -> Iterator[httpx.Client]:
    with over_http(build_serving(endpoints, version="0.1", body_limit=LIMIT)) as opened:
        yield opened


@pytest.fixture
def triton(client: httpx.Client) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(client.base_url.netloc.decode()) as opened:
        yield opened


def _body(rows: NDArray[Any], **changes: Any) -> dict[str, Any]:
    shape = list(rows.shape)
    return {"inputs": [{"name": "features", "shape": shape, "datatype": "FP32", "data": rows.tolist(), **changes}]}


# --- a client that is not ours ---


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_predictions_over_http_equal_scikit_learns_on_the_whole_held_out_set(
    triton: InferenceServerClient,
    trained: Path,
    held_out: NDArray[np.float64],
    *,
    binary_in: bool,
    binary_out: bool,
    packing: str | None,
) -> None:
    estimator, _ = _estimator(breast_cancer.spec(trained))
    asked = InferInput("features", list(held_out.shape), "FP32")
    asked.set_data_from_numpy(held_out.astype(np.float32), binary_data=binary_in)
    outputs = [InferRequestedOutput(name, binary_data=binary_out) for name in ("label", "probabilities")]
    answer = triton.infer(
        MODEL, [asked], model_version="1", outputs=outputs, request_id="r-1", request_compression_algorithm=packing
    )
    assert np.max(np.abs(answer.as_numpy("probabilities") - estimator.predict_proba(held_out))) <= 1e-5
    assert np.array_equal(answer.as_numpy("label"), estimator.predict(held_out))
    assert answer.get_response()["id"] == "r-1"
    assert answer.get_response()["model_version"] == "1"


def test_a_foreign_client_finds_its_way(triton: InferenceServerClient, held_out: NDArray[np.float64]) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(MODEL)
    assert triton.is_model_ready(MODEL, "1")
    assert triton.get_server_metadata() == {"name": "khatim", "version": "0.1", "extensions": ["binary_tensor_data"]}
    metadata = triton.get_model_metadata(MODEL)
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 30]}]
    assert {output["name"]: output["datatype"] for output in metadata["outputs"]} == {
        "label": "INT64",
        "probabilities": "FP32",
    }
    asked = InferInput("features", [1, 30], "FP32").set_data_from_numpy(held_out[:1].astype(np.float32))
    assert triton.infer(MODEL, [asked]).as_numpy("probabilities").shape == (1, 2)  # its default: binary both ways


def test_a_foreign_client_understands_our_errors(
    triton: InferenceServerClient, endpoints: Endpoints, held_out: NDArray[np.float64]
) -> None:
    asked = InferInput("features", [1, 29], "FP32").set_data_from_numpy(held_out[:1, :29].astype(np.float32))
    with pytest.raises(InferenceServerException, match="must have shape"):
        triton.infer(MODEL, [asked])
    with pytest.raises(InferenceServerException, match=r"No model 'oncology\.other' is served here"):
        triton.get_model_metadata("oncology.other")
    endpoints.suspend(MODEL, finding="finding:f-1", because="drift in worst_area")
    assert not triton.is_model_ready(MODEL)
    good = InferInput("features", [1, 30], "FP32").set_data_from_numpy(held_out[:1].astype(np.float32))
    with pytest.raises(InferenceServerException, match="suspended by finding:f-1: drift in worst_area"):
        triton.infer(MODEL, [good])


# --- states ---


def test_a_suspended_endpoint_answers_with_its_finding(client: httpx.Client, endpoints: Endpoints) -> None:
    rows = np.ones((1, 30))
    assert client.post(INFER, json=_body(rows)).status_code == 200
    endpoints.suspend(MODEL, finding="finding:f-1", because="drift in worst_area")
    for answer in (client.post(INFER, json=_body(rows)), client.get(f"/v2/models/{MODEL}/ready")):
        assert answer.status_code == 423
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body["finding"] == "finding:f-1"
        assert body["type"].endswith("/suspended")
        assert "finding:f-1" in body["error"]
        assert "drift in worst_area" in body["error"]
    assert client.get(f"/v2/models/{MODEL}").status_code == 200  # what it is may be known
    endpoints.resume(MODEL)
    assert client.post(INFER, json=_body(rows)).status_code == 200


def test_endpoints_are_put_replaced_and_removed(session: Session) -> None:
    served = Endpoints()
    first, second = Endpoint(MODEL, "1", session), Endpoint(MODEL, "2", session)
    assert served.put(first) is None
    assert served.put(second) is first
    assert served.get(MODEL) is second
    assert served.get(MODEL, "2") is second
    with pytest.raises(NotFound, match="in version 2, not '1'"):
        served.get(MODEL, "1")
    assert served.suspend(MODEL, finding="f").state is EndpointState.SUSPENDED
    with pytest.raises(Suspended):
        served.get(MODEL).require_serving()
    assert [e.version for e in served.all()] == ["2"]
    served.remove(MODEL)
    for verb in (served.remove, served.resume, served.get):
        with pytest.raises(NotFound):
            verb(MODEL)


def test_asked_rows_are_captured_and_refused_ones_are_not(
    client: httpx.Client, session: Session, endpoints: Endpoints
) -> None:
    blobs: dict[str, bytes] = {}

    def put(blob: bytes) -> str:
        name = str(len(blobs))
        blobs[name] = blob
        return name

    with Capture(put, session.feature_order(), flush_seconds=60) as capture:
        endpoints.put(Endpoint(MODEL, "1", session, capture=capture))
        rows = np.arange(60, dtype=np.float32).reshape(2, 30)
        assert client.post(INFER, json=_body(rows)).status_code == 200
        assert client.post(INFER, json=_body(rows[:, :29])).status_code == 400
        endpoints.suspend(MODEL, finding="f")
        assert client.post(INFER, json=_body(rows)).status_code == 423
        (taken,) = capture.take()
    kept = unpack(blobs[taken.digest])
    assert kept.column_names == list(session.feature_order())
    assert kept.num_rows == 2
    assert kept.column("mean_texture").to_pylist() == [1.0, 31.0]


# --- what does not fit ---

ROWS = np.ones((2, 30), np.float32)
NAN = np.full((1, 30), np.nan, np.float32).tobytes()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "not JSON"),
        ([], "list of inputs"),
        ({"inputs": 3}, "list of inputs"),
        ({"inputs": []}, "'features' is missing"),
        ({"inputs": [3]}, "object with a name"),
        (_body(ROWS, name="rows"), "no input 'rows'"),
        ({"inputs": _body(ROWS)["inputs"] * 2}, "given twice"),
        (_body(ROWS, datatype="FP64"), "must be FP32, not FP64"),
        (_body(ROWS, datatype=None), "must be FP32, not None"),
        (_body(ROWS, shape=[60]), "must have shape"),
        (_body(ROWS, shape=[2, 29]), "must have shape"),
        (_body(ROWS, shape=[-2, 30]), "whole numbers"),
        (_body(ROWS, shape=[True, 30]), "whole numbers"),
        (_body(ROWS, shape="2x30"), "whole numbers"),
        (_body(ROWS, shape=[3, 30]), "60 values, but its shape"),
        (_body(ROWS, data=[[1, 2], [3]]), "ragged"),
        (_body(ROWS, data=["1"] * 60), "FP32 values only"),
        (_body(ROWS, data=[True] * 60), "FP32 values only"),
        (_body(ROWS, data=[None] * 60), "FP32 values only"),
        (_body(ROWS, data=[1e300] * 60), "infinite"),
        (_body(ROWS, data=None), "1 values, but"),
        (_body(ROWS, parameters={"binary_data_size": 240}), "240 bytes of binary data"),
        (_body(ROWS, parameters={"binary_data_size": "x"}), "240 bytes of binary data, not x"),
        ({**_body(ROWS), "outputs": [{"name": "mood"}]}, "no output 'mood'"),
        ({**_body(ROWS), "outputs": ["label"]}, "no output 'label'"),
        ({**_body(ROWS), "outputs": {"name": "label"}}, "must be a list"),
    ],
)
def test_a_request_that_does_not_fit_gets_a_sentence(client: httpx.Client, body: Any, words: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post(INFER, content=content)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert answer.json()["type"].endswith("/malformed")


def _binary(raw: bytes, size: int | None = None) -> tuple[bytes, str]:
    given = {"name": "features", "shape": [1, 30], "datatype": "FP32"}
    header = {"inputs": [{**given, "parameters": {"binary_data_size": len(raw) if size is None else size}}]}
    text = json.dumps(header).encode()
    return text + raw, str(len(text))


@pytest.mark.parametrize(
    ("raw", "size", "words"),
    [
        (b"\0" * 119, None, "120 bytes"),
        (b"\0" * 124, 120, "4 bytes of binary data belong to no input"),
        (NAN, None, "NaN"),
    ],
)
def test_binary_data_that_does_not_fit_gets_a_sentence(
    client: httpx.Client, raw: bytes, size: int | None, words: str
) -> None:
    body, length = _binary(raw, size)
    answer = client.post(INFER, content=body, headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999999", "²"])
def test_a_header_length_that_cannot_be_gets_a_sentence(client: httpx.Client, length: str) -> None:
    body, _ = _binary(b"\0" * 120)
    headers = {b"inference-header-content-length": length.encode()}
    assert client.post(INFER, content=body, headers=headers).status_code == 400


def test_nowhere_and_no_such_method_are_json_too(client: httpx.Client) -> None:
    for answer, status in (
        (client.get("/v3"), 404),
        (client.get("/v2/models/oncology.other"), 404),
        (client.get(f"/v2/models/{MODEL}/versions/9"), 404),
        (client.get(INFER), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json()["error"], str)


def test_a_body_over_the_limit_is_refused_packed_or_not(client: httpx.Client) -> None:
    large = b" " * (LIMIT + 1)
    assert client.post(INFER, content=large).status_code == 413
    assert client.post(INFER, content=iter([large[:LIMIT], b" "])).status_code == 413  # no Content-Length
    bomb = gzip.compress(b" " * (64 * LIMIT))
    assert len(bomb) < LIMIT
    answer = client.post(INFER, content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "over the limit" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", "gzip"),
        (gzip.compress(b"{}" * 500, mtime=0)[:-20], "gzip"),
        (zlib.compress(b"{}")[:4], "deflate"),
        (b"{}", "br"),
    ],
)
def test_a_body_that_cannot_be_unpacked_gets_a_sentence(client: httpx.Client, body: bytes, encoding: str) -> None:
    answer = client.post(INFER, content=body, headers={"content-encoding": encoding})
    assert answer.status_code == 400
    assert answer.json()["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(st.fixed_dictionaries({"name": st.just("features")}, optional={
            "shape": st.just([1, 30]) | JSON, "datatype": st.just("FP32") | JSON, "data": JSON, "parameters": JSON,
        }), max_size=2)},
        optional={"outputs": JSON, "parameters": JSON, "id": JSON},
    ),
    st.binary(max_size=200),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_is_sent_is_read_or_refused(session: Session, body: Any, raw: bytes) -> None:
    text = json.dumps(body).encode()
    with contextlib.suppress(Malformed):
        asked = inference.read(text + raw, len(text), session, finite_only=True)
        assert asked.inputs["features"].shape[1] == 30


def test_an_error_inside_tells_nothing_of_the_inside(
    client: httpx.Client, endpoints: Endpoints, session: Session
) -> None:
    class Broken:
        def add(self, rows: NDArray[Any]) -> None:
            raise RuntimeError(f"secret of {len(rows)} rows")

    endpoints.put(Endpoint(MODEL, "1", session, capture=Broken()))
    answer = client.post(INFER, json=_body(ROWS))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]
