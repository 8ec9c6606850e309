# SPDX-License-Identifier: Apache-2.0
"""Asking a timestamp authority (RFC 3161), and what its answer must be before anybody keeps it.

RFC 3161, 2.2: whoever asked checks that the answer is to this question, by imprint and nonce.  Whether it is of
somebody to be believed is for whoever verifies (`registry.signing.clocks`), unless its certificates are known here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256

import httpx
from rfc3161_client import PKIStatus, TimeStampResponse, decode_timestamp_response

from khatim.errors import SignatureInvalid, Unavailable
from registry.signing import timestamp
from registry.signing.clocks import Clock

_NONCE_BITS = 64
_ANSWER_MAX = 65_536
_HEADERS = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
Ask = Callable[[bytes], bytes]
"""``ask(query)``: the TimeStampResp to a TimeStampReq, both DER."""


def stamped(ask: Ask, message: bytes, who: str, clock: Clock | None = None) -> bytes:
    """Have *message* stamped by *who*; return the TimeStampResp (DER).

    With a *clock*, what it answers must hold by its certificates.  Raises `Unavailable` for every other answer than the
    one that was asked for, and whatever *ask* raises.
    """
    nonce = secrets.randbits(_NONCE_BITS)
    response = ask(timestamp.request(message, nonce))
    try:
        _require_answer(read(response, message), message, nonce, clock)
    except SignatureInvalid as wrong:
        raise Unavailable(f"{who} answers what is no timestamp of this: {wrong.detail}") from wrong
    return response


def _require_answer(found: TimeStampResponse, message: bytes, nonce: int, clock: Clock | None) -> None:
    if found.status != PKIStatus.GRANTED.value:
        raise SignatureInvalid("it does not grant what was asked for")
    if found.tst_info.nonce != nonce:
        raise SignatureInvalid("its nonce is not the one that was sent: it answers another question")
    if clock is not None:
        clock.verified(found, message)


def over_http(url: str, http: httpx.Client) -> Ask:
    """Return how to ask the authority at *url*; a redirection is an answer like any other refusal."""

    def ask(query: bytes) -> bytes:
        data = bytearray()
        try:
            with http.stream("POST", url, content=query, headers=_HEADERS, follow_redirects=False) as answer:
                if not answer.is_success:
                    raise Unavailable(f"{url} answers {answer.status_code}")
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > _ANSWER_MAX:
                        raise Unavailable(f"{url} answers without end")
        except (httpx.HTTPError, httpx.InvalidURL) as lost:
            raise Unavailable(f"{url} does not answer: {str(lost) or type(lost).__name__}") from lost
        return bytes(data)

    return ask


def read(response: bytes, message: bytes) -> TimeStampResponse:
    """Return a TimeStampResp (DER) whose imprint is SHA-256 of *message*; nothing else of it is checked.

    Raises `SignatureInvalid`.
    """
    try:
        found = decode_timestamp_response(response)
        imprint = found.tst_info.message_imprint.message
    except Exception as wrong:  # the parser of hostile bytes
        raise SignatureInvalid("it is no timestamp, or a refusal") from wrong
    if imprint != sha256(message).digest():
        raise SignatureInvalid("it is over other bytes")
    return found
