# SPDX-License-Identifier: Apache-2.0
"""Strict reading of what others send: one value, one spelling.

Lenient base64 and JSON readers let bytes change without a change in meaning (dropped characters, spare bits, the last
of two equal keys).  In a signed document that is room to hide something, so these readers refuse it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from khatim.errors import Malformed


def b64(data: bytes) -> str:
    """Return the base64 of *data* (RFC 4648 section 4, padded), as protobuf's JSON writes bytes."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: object, what: str) -> bytes:
    """Read canonical base64; raises `Malformed` that names *what* for anything else."""
    if not isinstance(text, str):
        raise Malformed(f"{what} is not base64 text")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise Malformed(f"{what} is not base64") from wrong
    if b64(data) != text:
        raise Malformed(f"{what} is not canonical base64")
    return data


def strict_json(text: str | bytes, what: str) -> Any:
    """Read JSON as UTF-8; raises `Malformed` for a key given twice, NaN, infinity, or what is not JSON."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Malformed(f"{what} gives a key twice")
        return found

    def refused(constant: str) -> None:
        raise Malformed(f"{what} contains {constant}, which JSON has not")

    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded, object_pairs_hook=unique, parse_constant=refused)
    except (ValueError, RecursionError) as wrong:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise Malformed(f"{what} is not JSON") from wrong


def members(value: object, required: Sequence[str], optional: Sequence[str], what: str) -> Mapping[str, Any]:
    """Return *value* as an object with exactly these keys; raises `Malformed` that names *what* and the key."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    for key in required:
        if key not in value:
            raise Malformed(f"{what} has no {key}")
    for key in value:
        if key not in required and key not in optional:
            raise Malformed(f"{what} has an unexpected member {str(key)[:80]!r}")
    return value


def text_of(value: object, what: str) -> str:
    """Return *value* if it is text that is not empty; raises `Malformed` otherwise."""
    if not isinstance(value, str) or not value:
        raise Malformed(f"{what} is not text, or is empty")
    return value


def rfc3339(at: datetime) -> str:
    """Return the second *at*, in UTC: ``2026-11-23T02:30:00Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
