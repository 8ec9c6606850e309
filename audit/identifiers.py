# SPDX-License-Identifier: Apache-2.0
"""Identifiers made by the caller: UUIDv7 (RFC 9562, 5.7), so that keys follow time and are known before the insert."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7(at: datetime) -> uuid.UUID:
    """Return a UUIDv7 for the moment *at*: 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    random_a = secrets.randbits(12)
    random_b = secrets.randbits(62)
    return uuid.UUID(int=(milliseconds << 80) | _VERSION_7 | (random_a << 64) | _VARIANT | random_b)
