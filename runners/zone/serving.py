# SPDX-License-Identifier: Apache-2.0
"""The inference door: Open Inference Protocol v2 over HTTP, with Triton's binary tensor extension.

Models of under about a millisecond run inline on the event loop: handing them to a thread costs two to three times
the work itself (measured, see docs).  Every error is ``{"error": sentence}`` as the protocol wants it, with Khatim's
problem ``type`` beside it; a suspended endpoint answers 423 and names its finding.
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from khatim.errors import PROBLEM_BASE, KhatimError, Malformed, TooLarge
from khatim.vocabulary import Assurance
from runners.zone import inference
from runners.zone.endpoints import Endpoint, Endpoints, EndpointState

__all__ = ["Endpoint", "EndpointState", "Endpoints", "build_serving"]

SERVER_NAME = "khatim"
_ALONE = {Assurance.SELF_ATTESTED: {"parameters": {"assurance": "not independently approved"}}}
BODY_LIMIT = 16 * 1024 * 1024
HEADER_LENGTH = "Inference-Header-Content-Length"
_AUTO_GZIP_OR_ZLIB = 47  # zlib's window bits: 32 (detect the header) + 15


def build_serving(endpoints: Endpoints, *, version: str = "0", body_limit: int = BODY_LIMIT) -> Starlette:
    """Return the application that serves *endpoints*.

    *body_limit* bounds a request body in bytes, as sent and as unpacked.  A model's name in a path is
    ``namespace.name``.
    """
    door = _Door(endpoints, version, body_limit)
    routes = [
        Route("/v2", door.server, methods=["GET"]),
        Route("/v2/health/live", door.live, methods=["GET"]),
        Route("/v2/health/ready", door.ready, methods=["GET"]),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(model, door.model, methods=["GET"]),
            Route(f"{model}/ready", door.model_ready, methods=["GET"]),
            Route(f"{model}/infer", door.infer, methods=["POST"]),
        ]
    handlers: dict[Any, Any] = {KhatimError: _khatim_error, HTTPException: _http_error, Exception: _any_error}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Door:
    """The routes, bound to the endpoints."""

    def __init__(self, endpoints: Endpoints, version: str, body_limit: int) -> None:
        self._endpoints = endpoints
        self._version = version
        self._body_limit = body_limit

    async def server(self, _request: Request) -> Response:
        return _json({"name": SERVER_NAME, "version": self._version, "extensions": list(inference.EXTENSIONS)})

    async def live(self, _request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _request: Request) -> Response:
        # The protocol's text names "live" as the key here, too; its clients look at the status only.
        return _json({"live": True, "ready": True})

    async def model(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        return _json(
            {
                "name": endpoint.name,
                "versions": [endpoint.version],
                "platform": "onnx_onnxv1",
                "inputs": inference.metadata_of(endpoint.session.inputs),
                "outputs": inference.metadata_of(endpoint.session.outputs),
                **_ALONE.get(endpoint.assurance, {}),
            }
        )

    async def model_ready(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        endpoint.require_serving()
        return _json({"name": endpoint.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        self._endpoint(request).require_serving()  # before the body is read
        body = await _body_of(request, self._body_limit)
        endpoint = self._endpoint(request)
        endpoint.require_serving()  # and after: reading it may have taken long
        asked = inference.read(body, _header_length(request), endpoint.session, finite_only=endpoint.finite_only)
        found = endpoint.session.predict(asked.inputs, [wanted.name for wanted in asked.wanted])
        if endpoint.capture is not None:
            endpoint.capture.add(asked.inputs[endpoint.session.inputs[0].name])
        content, header = inference.write(endpoint.name, endpoint.version, asked, found)
        if header is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(header)})

    def _endpoint(self, request: Request) -> Endpoint:
        return self._endpoints.get(request.path_params["model"], request.path_params.get("version", ""))


async def _body_of(request: Request, limit: int) -> bytes:
    """Read the body, unpacked; raises `TooLarge` before more than *limit* bytes are held."""
    try:
        promised = int(request.headers.get("content-length", "0"))
    except ValueError:
        raise Malformed("Content-Length is not a number.") from None
    if promised > limit:
        raise TooLarge(f"The body of {promised} bytes is over the limit of {limit}.")
    parts: list[bytes] = []
    held = 0
    try:
        async for part in request.stream():
            held += len(part)
            if held > limit:
                raise TooLarge(f"The body is over the limit of {limit} bytes.")
            parts.append(part)
    except ClientDisconnect:
        raise Malformed("The body ended early.") from None
    body = b"".join(parts)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return body
    if encoding not in {"gzip", "deflate"}:
        raise Malformed(f"The content encoding {encoding} is not understood; send gzip, deflate or none.")
    return _unpacked(body, limit)


def _unpacked(body: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_AUTO_GZIP_OR_ZLIB)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Malformed(f"The body cannot be unpacked: {error}.") from error
    if len(unpacked) > limit:
        raise TooLarge(f"The unpacked body is over the limit of {limit} bytes.")
    if not unpacker.eof:
        raise Malformed("The packed body ended early.")
    return unpacked


def _header_length(request: Request) -> int | None:
    given = request.headers.get(HEADER_LENGTH)
    if given is None:
        return None
    if not given.isdecimal():
        raise Malformed(f"{HEADER_LENGTH} is not a number.")
    return int(given)


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


async def _khatim_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, KhatimError):
        raise TypeError(type(error).__name__)
    # The protocol's status for a request that does not fit is 400; everywhere else Khatim answers 422.
    status = 400 if isinstance(error, Malformed) else error.status
    sentence = f"{error.detail} {error.advice}".strip()
    return _json({**error.as_problem(), "status": status, "error": sentence}, status)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(type(error).__name__)
    sentence = {
        404: f"There is nothing at {request.url.path}.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }.get(error.status_code, error.detail)
    response = _json({"error": sentence, "type": "about:blank", "status": error.status_code}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _any_error(_request: Request, _error: Exception) -> Response:
    # The server's log has the error; a caller learns nothing of the inside.
    return _json({"error": "Something went wrong inside.", "type": f"{PROBLEM_BASE}khatim-error", "status": 500}, 500)
